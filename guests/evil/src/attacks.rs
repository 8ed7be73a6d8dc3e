// The faults, each by the name of its function: in this crate, of what the guest does, and in the tests, of what the host
// makes of it. Both include these lists, so neither compiles without the other's half.

/// Faults in `collect`.
macro_rules! with_attacks_in_collect {
    ($list:ident) => {
        $list! {
            // More than its share: time, memory, handles, random numbers, requests.
            spin
            spin_through_the_host
            sleep
            sleep_until_the_end_of_time
            deep_recursion
            memory_at_once
            memory_bit_by_bit
            memory_held_while_waiting
            pollables_without_end
            streams_without_end
            sockets_without_end
            tcp_sockets_without_end
            a_poll_of_two_million
            random_bytes_at_once
            random_bytes_beyond_all_sizes
            insecure_random_bytes_at_once
            a_thousand_requests
            refused_requests_without_end
            // Other ways to end.
            panic_with_text
            abort
            exit_well
            exit_badly
            // What it writes.
            stderr_flood
            stderr_escapes
            stderr_that_is_no_text
            stderr_in_one_call
            stdout_in_one_call
            zeroes_without_end
            metrics_on_stdout
            // What it hands over: samples.
            undeclared_samples
            keys_that_are_no_keys
            escapes_in_sample_names
            a_sample_name_of_32_mib
            values_that_are_no_numbers
            values_at_the_edge
            a_counter_as_the_target_tells_it
            the_same_sample_twice
            values_by_chance
            as_many_samples_as_allowed
            too_many_samples
            as_many_samples_as_fit
            // What it hands over: errors.
            escapes_in_the_error
            escapes_in_an_error_of_http
            an_error_of_32_mib
            a_status_that_is_none
            a_limit_that_is_none
            // Where it has no business.
            addresses_of_this_machine
            sockets_of_every_kind
            elsewhere_beside_honest_work
            names
            addresses_by_wasi_http
            authorities_by_wasi_http
            a_redirect_by_wasi_http
            headers_by_wasi_http
            methods_by_wasi_http
            a_body_without_end_by_wasi_http
            a_request_without_end_by_wasi_http
            requests_without_end_by_wasi_http
            times_beyond_all_by_wasi_http
            a_time_of_its_own_by_wasi_http
            paths_that_try_to_escape
            a_path_of_100_kb
            headers_that_are_the_hosts
            ten_thousand_headers
            headers_beyond_all_counts
            a_header_of_a_mebibyte
            a_container_where_there_is_none
            the_engine_a_thousand_times
            environment
            files
            standard_input
        }
    };
}

/// Faults in `graphs`.
macro_rules! with_attacks_in_graphs {
    ($list:ident) => {
        $list! {
            graphs_spin
            graphs_that_look_elsewhere
            graphs_sleep
            graphs_panic
            graphs_take_memory
            graphs_exit
            graphs_reach_out
            a_key_without_a_place
            a_key_with_two_places
            a_key_that_is_illegal
            a_key_that_is_empty
            a_key_of_a_mebibyte
            the_same_key_twice
            a_metric_that_is_illegal
            a_metric_that_is_empty
            a_metric_of_a_mebibyte
            the_same_metric_twice
            a_graph_without_metrics
            a_hundred_thousand_graphs
            a_thousand_graphs
            a_hundred_thousand_metrics
            ten_thousand_metrics
            escapes_in_labels
            graphs_by_chance
            a_label_of_a_mebibyte
            a_refusal_of_a_mebibyte
        }
    };
}
