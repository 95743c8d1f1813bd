package deviceplugin

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestListsAndTellsTheNode(t *testing.T) {
	bubble(t, mixed(), node("", "3g.40gb@0:4"), func(r *rig) {
		r.expect("nvidia.com/gpu", "GPU-0")
		r.expect("nvidia.com/mig-3g.40gb", "GPU-1:3g.40gb:0")
		r.after(10 * time.Millisecond)
		if c := r.api.says("nvidia.com/gpu"); c != (Count{Capacity: 1, Allocatable: 1}) {
			t.Errorf("the Node says %+v", c)
		}
		sick := node("", "3g.40gb@0:4")
		sick.GPUs[0].Health = gpu.Health{State: gpu.Suspect, Reason: "XID 48"}
		r.offers.Set(gpu.StaticOffers(sick))
		synctest.Wait()
		r.expect("nvidia.com/gpu", "GPU-0!")
		r.after(10 * time.Millisecond)
		if c := r.api.says("nvidia.com/gpu"); c != (Count{Capacity: 1}) {
			t.Errorf("the Node says %+v", c)
		}
	})
}

func TestNothingIsOfferedBeforeTheAccountIsComplete(t *testing.T) {
	var set *kubelet.ClaimSet
	bubble(t, mixed(), node("", ""), func(r *rig) {
		r.after(time.Hour)
		if r.regs.handler("nvidia.com/gpu") != nil {
			t.Error("registered before it is known who holds what")
		}
		if v, _ := r.manager.View().Get(); v.Waiting == "" {
			t.Error("status does not say why nothing is offered")
		}
		r.claims.feed.Set(set)
		synctest.Wait()
		r.expect("nvidia.com/gpu", "GPU-0")
		r.expect("nvidia.com/old", "GPU-1!") // the claimed id keeps its resource, and its hardware for itself
		r.claims.end("nvidia.com/old", "GPU-1")
		synctest.Wait()
		r.expect("nvidia.com/gpu", "GPU-0 GPU-1")
		r.expect("nvidia.com/old", "GPU-1!")
		r.after(31 * time.Second)
		r.expect("nvidia.com/old", "")
		if r.regs.handler("nvidia.com/old") == nil {
			t.Error("the empty list was not kept")
		}
		r.after(10 * time.Second)
		if r.regs.handler("nvidia.com/old") != nil {
			t.Error("the empty resource is still registered")
		}
		if !r.api.says("nvidia.com/old").Remove {
			t.Error("the Node still has the name")
		}
		r.after(5 * time.Minute)
		r.api.set("nvidia.com/old", 0) // the kubelet goes on writing it for five minutes
		r.after(time.Minute)
		if !r.api.says("nvidia.com/old").Remove {
			t.Error("the Node has the name again")
		}
	}, func(c *Config) {
		claims := newFakeClaims(kubelet.Claim{Resource: "nvidia.com/old", ID: "GPU-1", Pod: "u", Namespace: "ns", Name: "p"})
		set, _ = claims.feed.Get()
		claims.feed.Set(&kubelet.ClaimSet{ByID: map[string][]kubelet.Claim{}})
		c.Claims = claims
	})
}

// A device without a spec cannot be given; the first list waits a little for the specs, so that nothing turns unhealthy by a restart.
func TestSpecs(t *testing.T) {
	bubble(t, mixed(), node("", ""), func(r *rig) {
		r.after(time.Second)
		if r.regs.handler(GPUResource) != nil {
			t.Error("registered without specs")
		}
		r.specs.set("GPU-0", false)
		r.after(1100 * time.Millisecond)
		r.expect(GPUResource, "GPU-0 GPU-1!")
		r.specs.set("GPU-1", false)
		r.after(time.Second)
		r.expect(GPUResource, "GPU-0 GPU-1")
		r.specs.set("GPU-1", true)
		r.offers.Set(gpu.StaticOffers(node("", "", "")))
		r.after(time.Millisecond)
		r.expect(GPUResource, "GPU-0 GPU-1! GPU-2")
	}, func(c *Config) {
		c.Specs.(*fakeSpecs).missing = map[string]bool{"GPU-0": true, "GPU-1": true}
	})
}

func TestMetrics(t *testing.T) {
	bubble(t, mixed(), node("", "", ""), func(r *rig) {
		s := node("", "", "")
		s.GPUs[2].Health = gpu.Health{State: gpu.Draining}
		r.offers.Set(gpu.StaticOffers(s))
		synctest.Wait()
		if _, err := r.allocate(GPUResource, "GPU-0"); err != nil {
			t.Fatal(err)
		}
		if _, err := r.allocate(GPUResource, "GPU-7"); err == nil {
			t.Fatal("no error")
		}
		reg := prometheus.NewPedanticRegistry()
		reg.MustRegister(r.manager.Collectors()...)
		if err := testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP gpulet_allocation_refusals_total Allocations and container starts that were refused.
# TYPE gpulet_allocation_refusals_total counter
gpulet_allocation_refusals_total{reason="unknown",resource="nvidia.com/gpu"} 1
# HELP gpulet_allocations_total Devices given to containers.
# TYPE gpulet_allocations_total counter
gpulet_allocations_total{resource="nvidia.com/gpu"} 1
# HELP gpulet_devices Devices that are listed with the kubelet, by what they are.
# TYPE gpulet_devices gauge
gpulet_devices{resource="nvidia.com/gpu",state="claimed"} 1
gpulet_devices{resource="nvidia.com/gpu",state="free"} 1
gpulet_devices{resource="nvidia.com/gpu",state="unhealthy"} 1
# HELP gpulet_withheld Things that exist and are not offered; status tells why.
# TYPE gpulet_withheld gauge
gpulet_withheld 0
`)); err != nil {
			t.Error(err)
		}
	})
}

func TestMoveToAnotherName(t *testing.T) {
	bubble(t, mixed(), node("", ""), func(r *rig) {
		r.after(time.Second)
		s := mixed()
		s.Rules = []Rule{{Sharing: map[string]Sharing{"*": {Replicas: 2, Rename: "nvidia.com/gpu.shared"}}}}
		if _, err := r.allocate("nvidia.com/gpu", "GPU-1"); err != nil {
			t.Fatal(err)
		}
		r.settings.Set(s)
		synctest.Wait()
		r.after(400 * time.Millisecond) // pods that are bound already may come
		r.expect("nvidia.com/gpu", "GPU-0 GPU-1")
		if c := r.api.says("nvidia.com/gpu"); c.Allocatable != 0 {
			t.Errorf("the Node still says %+v", c)
		}
		r.after(200 * time.Millisecond)
		r.expect("nvidia.com/gpu", "GPU-0! GPU-1!")
		if r.regs.handler("nvidia.com/gpu.shared") != nil {
			t.Error("offered under two names")
		}
		r.after(2500 * time.Millisecond)
		r.expect("nvidia.com/gpu.shared", "GPU-0::0 GPU-0::1")
		if c := r.api.says("nvidia.com/gpu.shared"); c.Allocatable != 2 {
			t.Errorf("the Node says %+v", c)
		}
		r.after(time.Minute)
		r.expect("nvidia.com/gpu", "GPU-1!") // claimed ids never vanish
		r.claims.end("nvidia.com/gpu", "GPU-1")
		synctest.Wait()
		r.expect("nvidia.com/gpu.shared", "GPU-0::0 GPU-0::1 GPU-1::0 GPU-1::1")
	})
}
