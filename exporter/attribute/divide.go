package attribute

import (
	"cmp"
	"fmt"
	"math"
	"strings"

	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
)

// process is what a process did, and whose it is.
type process struct {
	gpu.ProcessUse
	pod       kubelet.UID
	container string
	known     bool
}

func lookUp(list []gpu.ProcessUse, processes ContainerOf) []process {
	out := make([]process, 0, len(list))
	for _, u := range list {
		p := process{ProcessUse: u}
		p.pod, p.container, p.known = processes.Container(u.PID)
		out = append(out, p)
	}
	return out
}

// tally is what the processes of a holder did together.
type tally struct {
	processes    int
	util, memory float64
	// mps, unmeasured and unsized: one of them is a client of MPS, or its SM or memory is not known.
	mps, unmeasured, unsized bool
	// doubt counts the processes that may be its.
	doubt int
}

// division divides the use of one entity.
type division struct {
	entity  gpu.Entity
	use     sample.Part
	read    bool // the processes are known
	listed  int  // processes that may be on the entity
	of      []holder
	tallies []tally
	// unknown processes are of no known container, strangers of pods that hold nothing here, mixed of one of several
	// containers of a pod, or of one of several instances.
	unknown, strangers, mixed int
}

// count gives each process to its holder, or casts doubt on those whose it may be.
func (d *division) count(procs []process) {
	for _, p := range procs {
		instance := p.GPUInstance
		elsewhere := d.entity.Instance != gpu.NoInstance && instance != gpu.NoInstance && instance != d.entity.Instance
		if elsewhere {
			continue
		}
		d.listed++
		vague := d.entity.Instance != gpu.NoInstance && instance == gpu.NoInstance
		at, n := d.find(p)
		switch {
		case n == 1 && !vague:
			d.tallies[at].add(p)
		case n > 0:
			d.mixed++
			d.doubt(func(h holder) bool { return h.UID == p.pod })
		case !p.known:
			d.unknown++
			d.doubt(func(holder) bool { return true })
		default:
			d.strangers++
			d.doubt(func(h holder) bool { return h.UID == "" })
		}
	}
}

// find is the holder that a process belongs to. n is 1 when that is sure, otherwise how many of its pod it may be, or 0.
// Where a pod has one holder, that one answers for what its other containers do on the device.
func (d *division) find(p process) (at, n int) {
	if !p.known || p.pod == "" {
		return 0, 0
	}
	for i, h := range d.of {
		if h.UID != p.pod {
			continue
		}
		if h.runtimeID != "" && h.runtimeID == p.container {
			return i, 1
		}
		at = i
		n++
	}
	return at, n
}

func (d *division) doubt(of func(holder) bool) {
	for i, h := range d.of {
		if of(h) {
			d.tallies[i].doubt++
		}
	}
}

func (t *tally) add(p process) {
	t.processes++
	t.mps = t.mps || p.MPS
	if p.Measured && p.SM >= 0 {
		t.util += min(p.SM, 1)
	} else {
		t.unmeasured = true
	}
	t.memory += float64(p.MemoryBytes)
	t.unsized = t.unsized || p.MemoryBytes == 0
}

// divide makes the shares and what is left over.
func (d *division) divide() ([]sample.Share, sample.Rest) {
	shares := make([]sample.Share, len(d.of))
	util, memory := make([]*float64, 0, len(d.of)), make([]*float64, 0, len(d.of))
	for i, h := range d.of {
		t := d.tallies[i]
		s := &shares[i]
		s.Container, s.Entity = h.Container, d.entity
		if s.NoUtil = d.noUtil(t); s.NoUtil == nil {
			s.Utilization = t.util
			util = append(util, &s.Utilization)
		}
		if s.NoMB = d.noMemory(t); s.NoMB == nil {
			s.MemoryBytes = t.memory
			memory = append(memory, &s.MemoryBytes)
		}
	}
	rest := sample.Rest{Entity: d.entity, Part: d.use}
	rest.Utilization = fit(d.use.Utilization, util, func(v float64) float64 { return v })
	rest.MemoryBytes = fit(d.use.MemoryBytes, memory, math.Floor) // whole bytes, so that the sum is exact
	if !small(rest.Part) {
		rest.Why = d.why()
	}
	return shares, rest
}

// fit scales the parts down where they are more than the whole, and returns what they leave of it.
func fit(whole float64, parts []*float64, round func(float64) float64) (rest float64) {
	sum := 0.0
	for _, p := range parts {
		sum += *p
	}
	if sum > whole {
		for _, p := range parts {
			*p = round(whole * (*p / sum))
		}
	}
	rest = whole
	for _, p := range parts {
		*p = min(*p, rest)
		rest -= *p
	}
	return rest
}

func (d *division) noUtil(t tally) *gpu.Absence {
	switch {
	case d.use.NoUtil != nil:
		return d.use.NoUtil
	case !d.read || t.processes == 0:
		return d.noProcess(t, !small(sample.Part{Utilization: d.use.Utilization}))
	case t.mps:
		return unattributed("MPS does not measure its clients one by one")
	case d.entity.Instance != gpu.NoInstance:
		return unattributed("the driver does not measure the processes of a GPU instance one by one")
	case t.unmeasured:
		return unattributed("the driver does not tell what its processes do")
	}
	return nil
}

func (d *division) noMemory(t tally) *gpu.Absence {
	switch {
	case d.use.NoMB != nil:
		return d.use.NoMB
	case !d.read || t.processes == 0:
		return d.noProcess(t, !small(sample.Part{MemoryBytes: d.use.MemoryBytes}))
	case t.unsized:
		return unattributed("the driver does not tell the memory of its processes")
	}
	return nil
}

// noProcess says whether a container without a known process is known to have none. used: somebody has.
func (d *division) noProcess(t tally, used bool) *gpu.Absence {
	switch {
	case !d.read:
		return &gpu.Absence{Code: gpu.NoData, Text: "the processes of the GPU were not read yet"}
	case t.doubt > 0:
		return unattributed(cmp.Or(d.unresolved(), d.others()))
	case used && d.listed == 0:
		return unattributed(noneListed)
	}
	return nil
}

// noneListed is why nobody has a part of an entity whose processes are hidden. The driver tells them by the numbers that they
// have for who asks: from another pid namespace it sees none.
const noneListed = "the driver tells of no process, as when hostPID is missing"

func unattributed(text string) *gpu.Absence {
	return &gpu.Absence{Code: gpu.Unattributed, Text: text}
}

// why says what the rest is.
func (d *division) why() string {
	if !d.read {
		return "the processes of the GPU were not read yet"
	}
	if d.listed == 0 {
		return noneListed
	}
	reasons := []string{d.unresolved(), d.others()}
	var mps, instance, unmeasured, unsized bool
	for _, t := range d.tallies {
		running := t.processes > 0
		mps = mps || t.mps
		instance = instance || running && d.entity.Instance != gpu.NoInstance
		unmeasured = unmeasured || t.unmeasured
		unsized = unsized || t.unsized
	}
	switch {
	case d.use.NoUtil != nil:
	case mps:
		reasons = append(reasons, "MPS does not measure its clients one by one")
	case instance:
		reasons = append(reasons, "the driver does not measure the processes of a GPU instance one by one")
	case unmeasured:
		reasons = append(reasons, "the driver does not tell what some processes do")
	}
	if unsized {
		reasons = append(reasons, "the driver does not tell the memory of some processes")
	}
	var said []string
	for _, r := range reasons {
		if r != "" {
			said = append(said, r)
		}
	}
	return cmp.Or(strings.Join(said, "; "), "more is in use than the driver tells of processes")
}

func (d *division) unresolved() string {
	switch d.unknown {
	case 0:
		return ""
	case 1:
		return "1 process of this GPU belongs to no known container, as when hostPID is missing"
	}
	return fmt.Sprintf("%d processes of this GPU belong to no known container, as when hostPID is missing", d.unknown)
}

// others tells of processes of pods that hold nothing here, and of those that cannot be told apart.
func (d *division) others() string {
	var said []string
	if d.strangers > 0 {
		said = append(said, fmt.Sprintf("processes of pods that are not known to have this device: %d", d.strangers))
	}
	if d.mixed > 0 {
		said = append(said, fmt.Sprintf("processes that are of one of several containers or instances: %d", d.mixed))
	}
	return strings.Join(said, "; ")
}
