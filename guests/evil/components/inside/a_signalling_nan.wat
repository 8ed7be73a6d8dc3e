;; A signalling NaN whose payload is text.
(data $report (i32.const 160) (i32 0 0) (i32 200 1) (i32 0 0 0 0) "\00\00\00\00\00\00\00\00"
  (i32 273 6) (i32 286 3) "evilev\f4\7f")
