// The faults, each by the name of its function: in this crate, of what the guest does, and in the tests, of what the host
// makes of it. Both include this list, so neither compiles without the other's half.
macro_rules! with_all_attacks {
    ($list:ident) => {
        $list! {
            spin
            sleep
            memory_at_once
            memory_bit_by_bit
            deep_recursion
            panic_with_text
            stderr_flood
            stderr_escapes
            undeclared_samples
            values_that_are_no_numbers
            the_same_sample_twice
            too_many_samples
            paths_that_try_to_escape
            headers_that_are_the_hosts
            a_container_where_there_is_none
            sockets
            environment_and_files
            escapes_in_the_error
        }
    };
}
