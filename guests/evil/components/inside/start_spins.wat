;; Before any call, when the instance is made.
(func $start (loop $again (br $again)))
(start $start)
