package deviceplugin

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	"github.com/gpulet/gpulet/gpu"
)

// shapes are the nodes that answers are timed on: every slot of eight A100, and sixteen GPUs in ten replicas each.
func shapes() map[string]func() (Settings, *gpu.Snapshot, string) {
	var slots []string
	for i := range 7 {
		slots = append(slots, fmt.Sprintf("1g.10gb@%d:1", i))
	}
	ten := mixed()
	ten.Rules = []Rule{{Sharing: map[string]Sharing{"*": {Replicas: 10}}}}
	return map[string]func() (Settings, *gpu.Snapshot, string){
		"8x7": func() (Settings, *gpu.Snapshot, string) {
			return mixed(), node(slices.Repeat([]string{strings.Join(slots, " ")}, 8)...), "nvidia.com/mig-1g.10gb"
		},
		"16x10":    func() (Settings, *gpu.Snapshot, string) { return ten, node(make([]string, 16)...), GPUResource },
		"16 whole": func() (Settings, *gpu.Snapshot, string) { return mixed(), node(make([]string, 16)...), GPUResource },
	}
}

// measure times call and reports the 99th percentile.
func measure(b *testing.B, call func(i int)) {
	took := make([]time.Duration, 0, 1024)
	for i := 0; b.Loop(); i++ {
		begun := time.Now()
		call(i)
		took = append(took, time.Since(begun))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100]), "p99-ns")
}

func each(b *testing.B, f func(b *testing.B, w *world, h *handler, ids []string)) {
	for _, name := range []string{"8x7", "16x10", "16 whole"} {
		b.Run(name, func(b *testing.B) {
			s, n, resource := shapes()[name]()
			w := newWorld(b, s, n)
			w.pass(time.Second, true)
			h := w.regs.handler(resource).(*handler)
			t, _ := h.tables.Get()
			var ids []string
			for _, e := range t.order {
				ids = append(ids, e.id)
			}
			// A full half is the worst case: as many claims to look at as devices to choose from.
			for i := 0; i < len(ids); i += 2 {
				if err := w.allocate(fmt.Sprintf("pod-%d", i), resource, ids[i:i+1]); err != nil {
					b.Fatal(err)
				}
			}
			w.pass(time.Second, true)
			f(b, w, h, ids)
		})
	}
}

func BenchmarkAllocate(b *testing.B) {
	each(b, func(b *testing.B, w *world, h *handler, ids []string) {
		w.manager.desk.cfg.Claims = still{w.claims} // the account's own cost is not ours
		measure(b, func(i int) {
			r := &api.AllocateRequest{ContainerRequests: []*api.ContainerAllocateRequest{{DevicesIds: []string{ids[1]}}}}
			if _, err := h.Allocate(context.Background(), r); err != nil {
				b.Fatal(err)
			}
		})
	})
}

func BenchmarkPreferred(b *testing.B) {
	each(b, func(b *testing.B, _ *world, h *handler, ids []string) {
		size := int32(4)
		measure(b, func(int) {
			r := &api.PreferredAllocationRequest{ContainerRequests: []*api.ContainerPreferredAllocationRequest{{AvailableDeviceIDs: ids, AllocationSize: size}}}
			resp, err := h.Preferred(context.Background(), r)
			if err != nil || len(resp.ContainerResponses[0].DeviceIDs) != int(size) {
				b.Fatal(resp, err)
			}
		})
	})
}

// BenchmarkStep is one look of the manager at everything.
func BenchmarkStep(b *testing.B) {
	each(b, func(b *testing.B, w *world, _ *handler, _ []string) {
		for b.Loop() {
			w.step()
		}
	})
}

// still are claims that Open does not change.
type still struct{ *fakeClaims }

func (still) Open(string, []string) {}
