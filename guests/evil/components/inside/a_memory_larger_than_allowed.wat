;; 65 MiB at instantiation.
(memory (export "memory") 1040)
