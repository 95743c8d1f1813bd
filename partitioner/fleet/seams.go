package fleet

import (
	"context"
	"time"

	"github.com/gpulet/gpulet/apiserver"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/partitioner/plan"
)

// Cluster is the API server as this package uses it; apiserver.Fleet implements it.
type Cluster interface {
	// Lead runs lead whenever this agent holds the planner's Lease, with a ctx that ends when it does not any more. It returns
	// when its own ctx ends. While the server is away nobody leads.
	Lead(ctx context.Context, lead func(ctx context.Context) error) error
	// Watch tells the newest view when something changed, at most each 50 ms, from one goroutine, until ctx ends or the watches break.
	Watch(ctx context.Context, tell func(*apiserver.ClusterView)) error
	// WriteReport writes this node's report, WriteDemand the demand of any node. One attempt of at most 5 s each.
	WriteReport(ctx context.Context, data []byte) error
	WriteDemand(ctx context.Context, node string, data []byte) error
	// WatchDemand tells this node's demand whenever it changed, nil when there is none, until ctx ends or the watch breaks.
	WatchDemand(ctx context.Context, tell func(*apiserver.Document)) error
	// ReadDemands lists all demands by node, for a planner that takes over.
	ReadDemands(ctx context.Context) (map[string]*apiserver.Document, error)
	// Evict asks for the eviction of a pod, by the Eviction API.
	Evict(ctx context.Context, namespace, name, uid string) error
}

// Version is that of both documents' form; one of a later version is not read.
const Version = 1

// Report is what an agent says of its node. EncodeReport gives its form in JSON, in which geometries are told once for all GPUs that
// share one.
type Report struct {
	Version int
	Node    string
	// Generation grows with each change, over restarts too; Demand is the generation of the demand that it takes into account.
	Generation uint64
	Demand     uint64
	// Off is why this node serves no demand at the moment; empty when it does.
	Off string
	// Free are CPU (milli), memory (bytes) and pods that the pods of this node do not request.
	FreeMilliCPU    int64
	FreeMemoryBytes int64
	FreePods        int64
	// Resources are the names by which pods ask for what can be had here: profiles by name, "" for whole GPUs.
	Resources  map[string]string
	Geometries []mig.Geometry
	GPUs       []ReportGPU
	Policy     plan.Policy
	// Evict: pods of this node may be evicted for others of higher priority, as its configuration says.
	Evict bool
	// Holders are the pods that claims name, by plan.Claim.Holder: for eviction, and to know which pods have arrived.
	Holders map[string]Holder
	// Arriving are pods that are bound to this node and have no devices yet: their places are taken.
	Arriving []DemandPod
}

// ReportGPU is one GPU of a report: plan.GPU with its geometry by number, -1 for none.
type ReportGPU struct {
	Geometry int
	plan.GPU
}

// Holder is a pod that holds a device.
type Holder struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       string `json:"uid"`
	Priority  int32  `json:"priority"`
}

// Demand is what the planner asks of a node.
type Demand struct {
	Version int `json:"version"`
	// Generation grows with each demand of the cluster, over leaders too: a node ignores one that is lower than what it knows.
	Generation uint64 `json:"generation"`
	// Leader names the agent that planned, for people.
	Leader string `json:"leader"`
	// TTL is for how long a node believes it from when it came.
	TTL  time.Duration `json:"ttl"`
	Pods []DemandPod   `json:"pods"`
}

// DemandPod is a pod that is to run on the node.
type DemandPod struct {
	UID       string `json:"uid"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Priority  int32  `json:"priority"`
	// WaitedSeconds is how long it had waited when the demand was written.
	WaitedSeconds int64 `json:"waitedSeconds"`
	// Requests are the extended resources that it asks for and that this node serves, by resource name.
	Requests map[string]int64 `json:"requests"`
}
