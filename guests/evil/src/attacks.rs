// The names of all attacks. This crate has a function of each name that attacks, and the tests have one that checks the
// host's reaction. Both include these lists, so a missing function is a compile error.

/// Attacks in `collect`.
macro_rules! with_attacks_in_collect {
    ($list:ident) => {
        $list! {
            // Exhaustion: time, memory, handles, random numbers, requests.
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
            a_poll_of_two_million_handles
            random_bytes_at_once
            the_largest_number_of_random_bytes
            insecure_random_bytes_at_once
            a_thousand_requests
            invalid_requests_without_end
            tls_connections_without_end
            notes_without_end
            // Memory that is reused.
            leftovers
            // Ends without a report.
            panic_with_text
            abort
            exit_with_success
            exit_with_failure
            // Output.
            stderr_flood
            stderr_escapes
            stderr_that_is_not_utf8
            stderr_in_one_call
            stdout_in_one_call
            zeroes_without_end
            metrics_on_stdout
            // Samples.
            undeclared_samples
            illegal_sample_names
            escapes_in_sample_names
            a_sample_name_of_32_mib
            values_that_are_not_finite
            extreme_values
            a_counter_from_the_target
            the_same_sample_twice
            random_values
            as_many_samples_as_allowed
            too_many_samples
            a_million_samples
            // Errors.
            escapes_in_the_error
            escapes_in_an_http_error
            an_error_of_32_mib
            an_invalid_status
            an_invalid_limit
            // Forbidden access.
            addresses_of_this_machine
            sockets_of_every_kind
            connections_elsewhere_beside_a_good_report
            name_lookups
            addresses_by_wasi_http
            authorities_by_wasi_http
            a_redirect_by_wasi_http
            headers_by_wasi_http
            methods_by_wasi_http
            a_body_without_end_by_wasi_http
            a_request_without_end_by_wasi_http
            requests_without_end_by_wasi_http
            the_longest_timeouts_by_wasi_http
            a_short_timeout_by_wasi_http
            paths_that_try_to_escape
            a_path_of_100_kb
            headers_that_the_host_sets
            ten_thousand_headers
            forty_thousand_headers
            a_header_of_a_mebibyte
            stats_without_a_container
            stats_and_state_a_thousand_times
            environment
            files
            standard_input
        }
    };
}

/// Attacks in `graphs`.
macro_rules! with_attacks_in_graphs {
    ($list:ident) => {
        $list! {
            graphs_spin
            graphs_connect_elsewhere
            graphs_sleep
            graphs_panic
            graphs_take_memory
            graphs_exit
            graphs_send_requests
            a_key_without_a_hash_sign
            a_key_with_two_hash_signs
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
            random_graphs
            a_label_of_a_mebibyte
            an_error_of_a_mebibyte
        }
    };
}
