;; The report is whole, and then the host tells the guest that it has read it.
(func $clean_up (param i32) (loop $again (br $again)))
(export "cabi_post_mackerel:collector/metrics@0.1.1#collect" (func $clean_up))
