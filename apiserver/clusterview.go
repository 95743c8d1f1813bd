package apiserver

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// ClusterView is what the planner of the cluster looks at. Immutable; parts that did not change are shared with the view before.
type ClusterView struct {
	// Synced: pods, nodes and reports were all listed since the watches began.
	Synced bool
	Pods   map[types.UID]*PendingPod
	Nodes  map[string]*NodeFacts
	// Reports are the documents of the agents by node.
	Reports map[string]*Document
}

// PendingPod is a pod without a node, as far as placing it needs. Immutable.
type PendingPod struct {
	UID             types.UID
	Namespace, Name string
	Created         time.Time
	Priority        int32
	// Unschedulable: the scheduler looked for a node and found none, and said so in Message.
	Unschedulable bool
	Message       string
	// Gated: it has scheduling gates. Deleting: it is being deleted.
	Gated, Deleting bool
	// Scheduler is spec.schedulerName. Nominated is the node on which others are being evicted for it.
	Scheduler, Nominated string
	NodeSelector         map[string]string
	NodeAffinity         *corev1.NodeAffinity
	Tolerations          []corev1.Toleration
	// MilliCPU and MemoryBytes are requested as the scheduler counts them; Requests are extended resources alike.
	MilliCPU, MemoryBytes int64
	Requests              map[string]int64
}

// NodeFacts is a Node as far as placing pods needs. Immutable.
type NodeFacts struct {
	Name                 string
	Ready, Unschedulable bool
	Labels               map[string]string
	Taints               []corev1.Taint
	// Allocatable are CPU (milli), memory (bytes), pods and extended resources by name.
	MilliCPU, MemoryBytes, Pods int64
	Allocatable                 map[string]int64
}

// Document is a small object of gpulet's namespace that carries data between agents: a ConfigMap with one key.
type Document struct {
	Name string
	// Received is when this process saw this content first: the only time of it that may be compared with a clock.
	Received time.Time
	Data     []byte
}
