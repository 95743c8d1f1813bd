package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/partitioner/plan"
)

// ErrDocument is wrapped by every error of DecodeReport and DecodeDemand.
var ErrDocument = errors.New("the document cannot be used")

// The bounds of what is read: no node has more, and nobody who can write a document can make a planner work without end.
const (
	maxBytes      = 512 << 10
	maxGPUs       = 64
	maxParts      = 64 // profiles of a geometry, placements of a profile, things on a GPU
	maxPods       = 2000
	maxTTL        = time.Hour
	maxGeneration = 1 << 62
)

// EncodeReport writes a report.
func EncodeReport(r *Report) ([]byte, error) {
	w := wireReport{
		Version: Version, Node: r.Node, Generation: r.Generation, Demand: r.Demand, Off: r.Off,
		MilliCPU: r.FreeMilliCPU, Memory: r.FreeMemoryBytes, Pods: r.FreePods, Resources: r.Resources,
		Policy: wirePolicyOf(&r.Policy), Evict: r.Evict, Holders: r.Holders, Arriving: r.Arriving,
	}
	for i := range r.Geometries {
		w.Geometries = append(w.Geometries, wireGeometryOf(&r.Geometries[i]))
	}
	for i := range r.GPUs {
		w.GPUs = append(w.GPUs, wireGPUOf(&r.GPUs[i]))
	}
	return json.Marshal(w)
}

// DecodeReport reads a report and checks its sizes. Each GPU has its geometry; those that share one share its memory.
func DecodeReport(data []byte) (*Report, error) {
	var w wireReport
	if err := decode(data, &w, &w.Version); err != nil {
		return nil, err
	}
	bad := func(what string) (*Report, error) { return nil, fmt.Errorf("%w: %s", ErrDocument, what) }
	if w.Node == "" || w.Generation > maxGeneration || w.Demand > maxGeneration {
		return bad("it names no node, or its generation is too high")
	}
	if len(w.GPUs) > maxGPUs || len(w.Geometries) > maxGPUs || len(w.Holders) > maxPods || len(w.Resources) > maxParts {
		return bad("it has too many parts")
	}
	r := &Report{
		Version: w.Version, Node: w.Node, Generation: w.Generation, Demand: w.Demand, Off: w.Off,
		FreeMilliCPU: w.MilliCPU, FreeMemoryBytes: w.Memory, FreePods: w.Pods, Resources: w.Resources, Evict: w.Evict, Holders: w.Holders, Arriving: w.Arriving,
	}
	err := checkPods(w.Arriving)
	if err != nil {
		return nil, err
	}
	if r.Policy, err = w.Policy.read(); err != nil {
		return nil, err
	}
	for i := range w.Geometries {
		g, err := w.Geometries[i].read()
		if err != nil {
			return nil, err
		}
		r.Geometries = append(r.Geometries, g)
	}
	for i := range w.GPUs {
		g, err := w.GPUs[i].read()
		if err != nil {
			return nil, err
		}
		if g.Geometry < -1 || g.Geometry >= len(r.Geometries) {
			return bad("a GPU has a geometry that is not there")
		}
		if g.Geometry >= 0 {
			g.GPU.Geometry = r.Geometries[g.Geometry]
		}
		r.GPUs = append(r.GPUs, g)
	}
	return r, nil
}

// EncodeDemand writes a demand.
func EncodeDemand(d *Demand) ([]byte, error) {
	out := *d
	out.Version = Version
	return json.Marshal(out)
}

// DecodeDemand reads a demand and checks its sizes.
func DecodeDemand(data []byte) (*Demand, error) {
	d := &Demand{}
	if err := decode(data, d, &d.Version); err != nil {
		return nil, err
	}
	if d.Generation > maxGeneration || d.TTL < 0 || d.TTL > maxTTL || len(d.Pods) > maxPods {
		return nil, fmt.Errorf("%w: its generation, its time to live or its pods are too many", ErrDocument)
	}
	if err := checkPods(d.Pods); err != nil {
		return nil, err
	}
	return d, nil
}

func checkPods(pods []DemandPod) error {
	if len(pods) > maxPods {
		return fmt.Errorf("%w: too many pods", ErrDocument)
	}
	seen := map[string]bool{}
	for _, p := range pods {
		if p.UID == "" || seen[p.UID] || p.WaitedSeconds < 0 || len(p.Requests) > maxParts {
			return fmt.Errorf("%w: pod %s/%s", ErrDocument, p.Namespace, p.Name)
		}
		seen[p.UID] = true
		for name, n := range p.Requests {
			if name == "" || n < 1 || n > 1<<20 {
				return fmt.Errorf("%w: pod %s/%s requests %d of %q", ErrDocument, p.Namespace, p.Name, n, name)
			}
		}
	}
	return nil
}

func decode(data []byte, into any, version *int) error {
	if len(data) > maxBytes {
		return fmt.Errorf("%w: it has %d bytes", ErrDocument, len(data))
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%w: %w", ErrDocument, err)
	}
	if *version < 1 || *version > Version {
		return fmt.Errorf("%w: it is of version %d, and this agent reads %d", ErrDocument, *version, Version)
	}
	return nil
}

// wireReport is the form of a report.
type wireReport struct {
	Version    int               `json:"version"`
	Node       string            `json:"node"`
	Generation uint64            `json:"generation"`
	Demand     uint64            `json:"demand,omitempty"`
	Off        string            `json:"off,omitempty"`
	MilliCPU   int64             `json:"freeMilliCPU"`
	Memory     int64             `json:"freeMemoryBytes"`
	Pods       int64             `json:"freePods"`
	Resources  map[string]string `json:"resources,omitempty"`
	Geometries []wireGeometry    `json:"geometries,omitempty"`
	GPUs       []wireGPU         `json:"gpus,omitempty"`
	Policy     wirePolicy        `json:"policy,omitzero"`
	Evict      bool              `json:"evict,omitempty"`
	Holders    map[string]Holder `json:"holders,omitempty"`
	Arriving   []DemandPod       `json:"arriving,omitempty"`
}

type wirePolicy struct {
	// Limited: only Allowed may be made.
	Limited   bool        `json:"limited,omitempty"`
	Allowed   []string    `json:"allowed,omitempty"`
	KeepWhole int         `json:"keepWhole,omitempty"`
	Spares    []wireCount `json:"spares,omitempty"`
	Weights   []wireCount `json:"weights,omitempty"`
}

type wireCount struct {
	Profile string `json:"profile"`
	Count   int    `json:"n"`
}

func wireCounts(in []plan.Count) (out []wireCount) {
	for _, c := range in {
		out = append(out, wireCount{c.Profile.String(), c.Count})
	}
	return out
}

func readCounts(in []wireCount) (out []plan.Count, err error) {
	if len(in) > maxParts {
		return nil, fmt.Errorf("%w: too many counts of profiles", ErrDocument)
	}
	for _, c := range in {
		p, err := readProfile(c.Profile)
		if err != nil {
			return nil, err
		}
		out = append(out, plan.Count{Profile: p, Count: min(max(c.Count, 0), 1<<20)})
	}
	return out, nil
}

func wirePolicyOf(p *plan.Policy) wirePolicy {
	w := wirePolicy{Limited: p.Allowed != nil, KeepWhole: p.KeepWhole, Spares: wireCounts(p.Spares), Weights: wireCounts(p.Weights)}
	for _, a := range p.Allowed {
		w.Allowed = append(w.Allowed, a.String())
	}
	return w
}

func (w *wirePolicy) read() (p plan.Policy, err error) {
	if len(w.Allowed) > maxParts {
		return p, fmt.Errorf("%w: too many profiles are allowed", ErrDocument)
	}
	if w.Limited {
		p.Allowed = []mig.Profile{}
	}
	for _, a := range w.Allowed {
		profile, err := readProfile(a)
		if err != nil {
			return p, err
		}
		p.Allowed = append(p.Allowed, profile)
	}
	p.KeepWhole = min(max(w.KeepWhole, 0), maxGPUs)
	if p.Spares, err = readCounts(w.Spares); err == nil {
		p.Weights, err = readCounts(w.Weights)
	}
	return p, err
}

// uuidOf reads the name of a GPU.
func uuidOf(s string) (gpu.UUID, error) {
	if s == "" || len(s) > 80 {
		return "", fmt.Errorf("%w: a GPU has no UUID", ErrDocument)
	}
	return gpu.UUID(s), nil
}
