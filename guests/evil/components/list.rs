// The collectors of hand-written text. Each is a file of this name in a folder beside this list, and a test.

macro_rules! with_components {
    ($list:ident) => {
        $list! {
            whole a_command
            whole a_core_module
            whole a_wit_package
            whole an_empty_component
            whole an_http_server
            whole another_export
            whole the_export_as_a_function
            whole the_export_of_an_older_contract
            whole the_export_of_another_contract
            whole the_export_with_other_types
            inside a_choice_with_line_breaks
            inside a_default_with_escapes
            inside a_description_beyond_memory
            inside a_hundred_thousand_options
            inside a_memory_larger_than_allowed
            inside a_name_of_a_mebibyte
            inside a_name_that_is_not_utf8
            inside a_path_as_a_name
            inside a_signalling_nan
            inside a_summary_of_a_mebibyte
            inside a_table_larger_than_allowed
            inside a_thousand_options
            inside an_invalid_scope
            inside an_option_of_the_host
            inside describe_spins
            inside describe_takes_memory
            inside describe_traps
            inside escapes_in_the_description
            inside leftovers_in_tables
            inside options_without_end
            inside post_return_spins
            inside post_return_traps
            inside realloc_beyond_memory
            inside realloc_misaligned
            inside realloc_returns_one_address
            inside realloc_spins
            inside realloc_traps
            inside samples_that_share_one_text
            inside start_spins
            inside start_takes_memory
            inside start_takes_tables
            inside start_traps
            inside the_same_option_twice
            beside a_thousand_instances
            beside a_thousand_memories
            beside a_thousand_tables
            beside imports_a_function
            beside imports_an_unknown_interface
            beside imports_another_contract
            beside imports_more_of_a_later_contract
            beside imports_of_another_type
            beside imports_wasi_http
            beside resources_of_its_own_without_end
        }
    };
}
