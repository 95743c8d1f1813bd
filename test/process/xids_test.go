package process

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/gpulet/gpulet/agent"
	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

// A memory error that a later event of the driver covers up takes its GPU off offer all the same, and that of a slice the slice.
func TestHiddenXID(t *testing.T) {
	t.Parallel()
	n := begin(t, wanted{hardware: threeGPUs(), config: "health: {interval: 400ms}\n"})
	pieces := n.pieces()
	n.offers(offered(pieces))
	if err := n.sim.CollapseXIDs(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	burst := func(to model.Target, codes ...uint64) { // no wait comes between them
		t.Helper()
		for _, code := range codes {
			if err := n.sim.Model.InjectXID(to.GPU, code, to.GI, to.CI); err != nil {
				t.Fatal(err)
			}
		}
	}
	instances := n.sim.Model.Status().GPUs[2].Instances
	burst(sim.In(2, instances[0].GI), 95, 31)
	burst(sim.In(2, instances[1].GI), 119, 119, 119) // one or two of them the driver tells
	burst(sim.Whole(0), 95, 31)
	n.offers(offered([]piece{pieces[1], pieces[4]}))
	s := n.await("the reasons", func(s agent.Status) bool { return len(reasons(s, whole)) == 1 && len(reasons(s, slice)) == 2 })
	got := reasons(s, whole)
	maps.Copy(got, reasons(s, slice))
	for at, want := range map[int]string{0: "XID 95", 2: "XID 95", 3: "XID 119"} {
		if id := pieces[at].id; !strings.Contains(got[id], want) {
			t.Errorf("%s: %q, want %s", id, got[id], want)
		}
	}
	if h := s.GPUs[2].Health; h.State != "Healthy" {
		t.Errorf("the divided GPU is %+v", h)
	}
	if !slices.ContainsFunc(strings.Split(n.log.String(), "\n"), func(l string) bool {
		return strings.Contains(l, "msg=XID") && strings.Contains(l, "xid=95") && strings.Contains(l, `from="kernel log"`)
	}) {
		t.Error("the driver told the errors that it should hide")
	}
}
