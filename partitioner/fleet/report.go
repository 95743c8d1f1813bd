package fleet

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/kubelet"
	"github.com/gpulet/gpulet/partitioner"
)

// Allocatable is what the Node has for pods: CPU (milli), memory (bytes) and their number.
type Allocatable struct{ MilliCPU, MemoryBytes, Pods int64 }

// Facts are what a report is built from.
type Facts struct {
	Node      string
	View      *partitioner.View
	Pods      *kubelet.Pods
	Resources map[string]mig.Profile
	Settings  partitioner.Settings
	// Allocatable is zero while it is not known: no pod is given to the node then.
	Allocatable Allocatable
	// Demand is the generation of the demand that View takes into account.
	Demand uint64
}

// BuildReport says of a node what planning needs. Its generation is left to whoever writes it.
func BuildReport(f Facts) *Report {
	r := &Report{
		Version: Version, Node: f.Node, Demand: f.Demand, Off: off(f), Evict: f.Settings.Evict, Resources: map[string]string{},
		FreeMilliCPU: f.Allocatable.MilliCPU, FreeMemoryBytes: f.Allocatable.MemoryBytes, FreePods: f.Allocatable.Pods,
	}
	for name, p := range f.Resources {
		r.Resources[name] = ""
		if p != (mig.Profile{}) {
			r.Resources[name] = p.String()
		}
	}
	named := map[string]kubelet.Pod{} // as claims name them
	if f.Pods != nil {
		for _, p := range f.Pods.ByUID {
			if p.Ended {
				continue
			}
			r.FreeMilliCPU -= p.MilliCPU
			r.FreeMemoryBytes -= p.MemoryBytes
			r.FreePods--
			if key := "pod " + p.Ref(); named[key].UID == "" || named[key].Created.Before(p.Created) {
				named[key] = p
			}
		}
		r.Arriving = arriving(f.Pods, f.Resources)
	}
	if f.View == nil {
		return r
	}
	r.Policy = f.View.Input.Policy
	for _, g := range f.View.Input.GPUs {
		x := ReportGPU{Geometry: -1, GPU: g}
		if len(g.Geometry.Profiles) > 0 {
			x.Geometry = slices.IndexFunc(r.Geometries, func(k mig.Geometry) bool { return reflect.DeepEqual(k, g.Geometry) })
			if x.Geometry < 0 {
				x.Geometry = len(r.Geometries)
				r.Geometries = append(r.Geometries, g.Geometry)
			}
		}
		r.GPUs = append(r.GPUs, x)
		for _, c := range g.Claims {
			if p, known := named[c.Holder]; known {
				if r.Holders == nil {
					r.Holders = map[string]Holder{}
				}
				r.Holders[c.Holder] = Holder{Namespace: p.Namespace, Name: p.Name, UID: string(p.UID), Priority: p.Priority}
			}
		}
	}
	return r
}

// off is why no demand is served here now.
func off(f Facts) string {
	switch {
	case !f.Settings.OnDemand:
		return "dividing on demand is not configured"
	case f.Settings.DryRun:
		return "nothing is changed: it only says what it would do"
	case f.View == nil:
		return "its GPUs are not known yet"
	case f.View.Waiting != "":
		return f.View.Waiting
	case f.Pods == nil || !f.Pods.Synced:
		return "its pods are not known yet"
	case f.Allocatable.Pods == 0:
		return "what the Node has for pods is not known yet"
	}
	return ""
}

// arriving are pods that are bound and not admitted yet, by UID.
func arriving(pods *kubelet.Pods, resources map[string]mig.Profile) (out []DemandPod) {
	for _, p := range pods.ByUID {
		if p.Ended || p.Deleting || p.Admitted {
			continue
		}
		d := DemandPod{UID: string(p.UID), Namespace: p.Namespace, Name: p.Name, Priority: p.Priority, Requests: map[string]int64{}}
		start := map[string]int64{} // init containers give back before the others start
		for _, c := range p.Containers {
			for name, n := range c.Requests {
				if _, ours := resources[name]; !ours {
					continue
				}
				if c.Init && !c.Sidecar {
					start[name] = max(start[name], d.Requests[name]+n)
				} else {
					d.Requests[name] += n
				}
			}
		}
		for name, n := range start {
			d.Requests[name] = max(d.Requests[name], n)
		}
		maps.DeleteFunc(d.Requests, func(_ string, n int64) bool { return n < 1 })
		if len(d.Requests) > 0 {
			out = append(out, d)
		}
	}
	slices.SortFunc(out, func(a, b DemandPod) int { return strings.Compare(a.UID, b.UID) })
	return out
}
