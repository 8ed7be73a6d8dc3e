module mackerel/collector

go 1.25
