;; An honest collector: the fields of its core module. Records have the layout of the canonical ABI: a string is its
;; address and its length, a list its address and its number of elements.
(memory (export "memory") 1)

(func $describe (result i32) (i32.const 16))
(func $graphs (param i32 i32) (result i32) (i32.const 64))
(func $collect (param i32) (result i32) (i32.const 160))
(func $realloc (param i32 i32 i32 i32) (result i32)
  ;; Allocates at the next multiple of 16, and never frees.
  (local $address i32)
  (local.set $address (global.get $free))
  (global.set $free
    (i32.and (i32.add (i32.add (global.get $free) (local.get 3)) (i32.const 15)) (i32.const -16)))
  (local.get $address))
(global $free (mut i32) (i32.const 32768))

(export "mackerel:collector/metrics@0.1.2#describe" (func $describe))
(export "mackerel:collector/metrics@0.1.2#graphs" (func $graphs))
(export "mackerel:collector/metrics@0.1.2#collect" (func $collect))
(export "cabi_realloc" (func $realloc))

;; The description: name, version, summary, scope, options.
(data $description (i32.const 16) (i32 256 4) (i32 261 3) (i32 265 7) (i32 0) (i32 0 0))
;; The result of `graphs`: no error, and the list of one graph: key, label, unit, metrics.
(data $graphs (i32.const 64) (i32 0) (i32 80 1) "\00\00\00\00"
  (i32 273 6) (i32 280 5) (i32 0) (i32 112 1) "\00\00\00\00"
  ;; The metric: name, label, not stacked, gauge.
  (i32 286 3) (i32 290 3) (i32 0))
;; The result of `collect`: no error, the list of one sample, no time. The sample: graph, metric, value.
(data $report (i32.const 160) (i32 0 0) (i32 200 1) (i32 0 0 0 0) "\00\00\00\00\00\00\00\00"
  (i32 273 6) (i32 286 3) (f64 1))
(data $texts (i32.const 256) "text\001.0\00A text\00\00#.text\00Label\00one\00One")
