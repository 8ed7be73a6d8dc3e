;; Escape sequences in version, summary, an option's help, and the labels of graph and metric.
(data $description (i32.const 16) (i32 256 4) (i32 4200 29) (i32 4200 29) (i32 0) (i32 4096 1))
(data $option (i32.const 4096) (i32 4160 4) (i32 4200 29) (i32 0 0 0) (i32 0 0 0))
(data $name (i32.const 4160) "kind")
(data $text (i32.const 4200) "\1b[2J\0d\0aroot\09\e2\80\ae# a false line.")
(data $graphs (i32.const 64) (i32 0) (i32 80 1) "\00\00\00\00"
  (i32 273 6) (i32 4200 29) (i32 0) (i32 112 1) "\00\00\00\00"
  (i32 286 3) (i32 4200 29) (i32 0))
