package process

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gpulet/gpulet/agent"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

// driver is a driver branch: what it is tried on, and what it lacks.
type driver struct {
	version string
	shapes  []string
	lacks   []string // features of the node
	gpus    []string // features of each GPU
}

func drivers() []driver {
	return []driver{
		{
			version: "470.256.02", shapes: []string{"v100x8", "t4x4", "dgx-a100", "mixed"},
			lacks: []string{"profile names from the driver", "fabric state"}, gpus: []string{"recovery action"},
		},
		{version: "525.147.05", shapes: []string{"v100x8", "t4x4", "dgx-a100", "hgx-h100", "mixed"}, gpus: []string{"recovery action"}},
		{version: "535.183.01", shapes: []string{"v100x8", "t4x4", "dgx-a100", "hgx-h100", "mixed"}, gpus: []string{"recovery action"}},
		{version: "550.54.15", shapes: []string{"v100x8", "t4x4", "dgx-a100", "hgx-h100", "hgx-h200", "mixed"}, gpus: []string{"recovery action"}},
		{version: "580.65.06", shapes: []string{"v100x8", "t4x4", "dgx-a100", "hgx-h100", "hgx-h200", "hgx-b200", "rtx6000x4", "mixed"}},
	}
}

// tally counts what was seen on all drivers. mu guards the rest.
type tally struct {
	mu               sync.Mutex
	agents, devices  int
	gaps             int                        // shown, over all agents
	shapes           map[string]bool            // by name
	features         map[string]map[string]bool // that are missing: branches by feature
	replaced, loaded int
}

// Whatever of a driver's functions is missing costs that feature and is explained; all GPUs and slices that the driver knows are
// offered and given, and the process goes on. A driver that is exchanged or loaded again is the end of no pod.
func TestDrivers(t *testing.T) {
	t.Parallel()
	sum := &tally{shapes: map[string]bool{}, features: map[string]map[string]bool{}}
	t.Run("versions", func(t *testing.T) {
		for _, d := range drivers() {
			for _, shape := range d.shapes {
				t.Run(d.version+" "+shape, func(t *testing.T) {
					t.Parallel()
					sum.add(d, shape, serve(t, d, shape))
				})
			}
		}
		for _, change := range [][2]string{{"535.183.01", "580.65.06"}, {"580.65.06", "470.256.02"}} {
			t.Run(change[0]+" replaced by "+change[1], func(t *testing.T) {
				t.Parallel()
				replace(t, change[0], change[1])
				sum.count(&sum.replaced)
			})
		}
		t.Run("loaded again", func(t *testing.T) {
			t.Parallel()
			reload(t)
			sum.count(&sum.loaded)
		})
	})
	if !t.Failed() {
		fmt.Println(sum)
	}
}

func (s *tally) String() string {
	var missing []string
	for _, f := range slices.Sorted(maps.Keys(s.features)) {
		missing = append(missing, fmt.Sprintf("%s (%s)", f, strings.Join(slices.Sorted(maps.Keys(s.features[f])), ", ")))
	}
	return fmt.Sprintf("PROOF 2.5: %d driver branches on %d node shapes: %d agents gave all %d GPUs and slices that the driver knows, and none ended; "+
		"%d features missing, each with a reason (%d shown): %s; driver replaced by another version %d times and loaded again %d times under running pods",
		len(drivers()), len(s.shapes), s.agents, s.devices, len(s.features), s.gaps, strings.Join(missing, ", "), s.replaced, s.loaded)
}

func (s *tally) count(n *int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*n++
}

func (s *tally) add(d driver, shape string, st agent.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.agents++
	s.shapes[shape] = true
	for _, r := range st.Resources {
		s.devices += len(r.Devices)
	}
	branch, _, _ := strings.Cut(d.version, ".")
	gaps := slices.Clone(st.Gaps)
	for _, g := range st.GPUs {
		gaps = append(gaps, g.Gaps...)
	}
	for _, gap := range gaps {
		feature, _, _ := strings.Cut(gap, ":")
		if feature == hiddenByMIG {
			feature += " of divided GPUs"
		}
		if s.features[feature] == nil {
			s.features[feature] = map[string]bool{}
		}
		s.features[feature][branch] = true
		s.gaps++
	}
}

// hiddenByMIG is what no driver tells of a GPU with instances (nvml.h, nvmlDeviceGetRemappedRows).
const hiddenByMIG = "row remapping and page retirement"

// serve has an agent serve a shape under a driver.
func serve(t *testing.T, d driver, shape string) agent.Status {
	n := begin(t, wanted{hardware: divided(t, shape), driver: d.version, config: "health: {interval: 200ms, cleanProbes: 2}\n"})
	pieces := n.pieces()
	n.offers(offered(pieces))
	s := n.await("ready", ready)
	if s.Driver.Version != d.version {
		t.Errorf("the driver is said to be %s", s.Driver.Version)
	}
	explained(t, "the node", s.Gaps, d.lacks)
	for _, g := range s.GPUs {
		lacks := slices.Clone(d.gpus)
		if len(g.Instances) > 0 {
			lacks = append(lacks, hiddenByMIG)
		}
		explained(t, fmt.Sprint("GPU ", g.Index), g.Gaps, lacks)
	}
	given := map[string]bool{}
	for _, p := range pieces {
		if !given[p.resource] {
			given[p.resource] = true
			n.gives(pieces, p.resource)
		}
	}
	n.probes(3)
	if err := n.sim.XID(t.Context(), sim.Whole(0), 94); err != nil { // contained: suspect until it is looked at
		t.Fatal(err)
	}
	n.await("the XID in the log", func(agent.Status) bool { return strings.Contains(n.log.String(), "xid=94") })
	n.offers(offered(pieces))
	return n.await("health", func(s agent.Status) bool { return ready(s) && !sick(s) })
}

// explained compares gaps, which are "feature: reason", with the features that should be missing.
func explained(t *testing.T, what string, gaps, want []string) {
	t.Helper()
	var features []string
	for _, gap := range gaps {
		feature, reason, _ := strings.Cut(gap, ": ")
		features = append(features, feature)
		if reason == "" {
			t.Errorf("%s lacks %s without a reason", what, feature)
		}
	}
	slices.Sort(features)
	if want := slices.Sorted(slices.Values(want)); !slices.Equal(features, want) {
		t.Errorf("%s lacks %q, want %q", what, gaps, want)
	}
}

func sick(s agent.Status) bool {
	return slices.ContainsFunc(s.GPUs, func(g agent.GPU) bool { return g.Health.State != gpu.Healthy.String() })
}

// probes waits until every GPU was looked at so many times more.
func (n *node) probes(times uint64) {
	n.t.Helper()
	looks := func() uint64 {
		calls, err := n.sim.Calls(n.t.Context())
		if err != nil {
			n.t.Fatal(err)
		}
		return calls["nvmlDeviceGetTotalEccErrors"]
	}
	goal := looks() + times*uint64(len(n.sim.Model.Status().GPUs))
	n.await("more looks", func(agent.Status) bool { return looks() >= goal })
}
