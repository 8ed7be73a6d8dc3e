module example.com/memcached

go 1.25

require mackerel/collector v0.0.0

// The SDK in this project, written by `mackerel-plugin-wasm new`.
replace mackerel/collector => ./collector
