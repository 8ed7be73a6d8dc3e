;; Fails if an element of its table is set, and then sets all of them, for the next sandbox.
(table $table 1900 funcref)
(elem $declared declare func $collect)
(func $collect (param i32) (result i32)
  (local $element i32)
  (loop $next
    (if (i32.eqz (ref.is_null (table.get $table (local.get $element)))) (then unreachable))
    (table.set $table (local.get $element) (ref.func $collect))
    (local.set $element (i32.add (local.get $element) (i32.const 1)))
    (br_if $next (i32.lt_u (local.get $element) (i32.const 1900))))
  (i32.const 160))
