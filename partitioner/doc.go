// Package partitioner decides how this node's GPUs are divided and makes it so: it joins what is wanted (configuration, commands,
// the label nvidia.com/mig.config, pods that wait), has partitioner/plan make a plan and partitioner/apply do its steps. It owns the
// offers of the node. It never changes hardware itself and never moves what a pod has.
package partitioner
