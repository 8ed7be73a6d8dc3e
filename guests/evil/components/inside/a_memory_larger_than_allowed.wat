;; 65 MiB, before any code runs.
(memory (export "memory") 1040)
