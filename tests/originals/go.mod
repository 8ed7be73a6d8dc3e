module originals

go 1.25.5

tool (
	github.com/mackerelio/mackerel-agent-plugins/mackerel-plugin-docker
	github.com/mackerelio/mackerel-agent-plugins/mackerel-plugin-gostats
	github.com/mackerelio/mackerel-agent-plugins/mackerel-plugin-redis
)

require github.com/mackerelio/mackerel-agent-plugins v0.91.0

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/containerd/log v0.1.0 // indirect
	github.com/docker/go-units v0.5.0 // indirect
	github.com/fsouza/go-dockerclient v1.13.2 // indirect
	github.com/fukata/golang-stats-api-handler v1.0.0 // indirect
	github.com/klauspost/compress v1.18.4 // indirect
	github.com/mackerelio/go-mackerel-plugin v0.1.6 // indirect
	github.com/mackerelio/go-mackerel-plugin-helper v0.1.4 // indirect
	github.com/mackerelio/golib v1.2.2 // indirect
	github.com/moby/go-archive v0.2.0 // indirect
	github.com/moby/moby/api v1.54.2 // indirect
	github.com/moby/moby/client v0.4.1 // indirect
	github.com/moby/patternmatcher v0.6.1 // indirect
	github.com/moby/sys/sequential v0.6.0 // indirect
	github.com/moby/sys/user v0.4.0 // indirect
	github.com/moby/sys/userns v0.1.0 // indirect
	github.com/moby/term v0.5.2 // indirect
	github.com/opencontainers/go-digest v1.0.0 // indirect
	github.com/opencontainers/image-spec v1.1.1 // indirect
	github.com/redis/go-redis/v9 v9.20.0 // indirect
	github.com/sirupsen/logrus v1.9.4 // indirect
	go.uber.org/atomic v1.11.0 // indirect
	golang.org/x/sys v0.44.0 // indirect
	golang.org/x/text v0.37.0 // indirect
)
