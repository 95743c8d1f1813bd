package cluster

// ID is what the names of a cluster's links and cgroups begin with.
func ID(dir string) string { return clusterID(dir) }
