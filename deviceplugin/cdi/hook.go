package cdi

// The hooks, as the words behind `gpulet cdi-hook`.
const (
	hookLinks = "create-symlinks"
	hookCache = "update-ldcache"
)

// hookTimeout is how many seconds the runtime gives a hook.
const hookTimeout = 20
