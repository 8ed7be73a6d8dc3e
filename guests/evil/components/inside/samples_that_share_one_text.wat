;; A thousand samples that share one graph key of 32 MiB. The guest stores it once; the host would copy it a thousand
;; times.
(memory (export "memory") 640)
(func $collect (param i32) (result i32)
  (local $sample i32)
  (memory.fill (i32.const 131072) (i32.const 120) (i32.const 33554432))
  (local.set $sample (i32.const 65536))
  (loop $next
    (i32.store (local.get $sample) (i32.const 131072))
    (i32.store offset=4 (local.get $sample) (i32.const 33554432))
    (local.set $sample (i32.add (local.get $sample) (i32.const 24)))
    (br_if $next (i32.lt_u (local.get $sample) (i32.const 89536))))
  (i32.const 160))
(data $report (i32.const 160) (i32 0 0) (i32 65536 1000) (i32 0 0 0 0))
