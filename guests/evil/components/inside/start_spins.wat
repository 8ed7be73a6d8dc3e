;; Spins at instantiation, before any call.
(func $start (loop $again (br $again)))
(start $start)
