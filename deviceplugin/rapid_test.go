package deviceplugin

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
)

// configurations that rename, share, divide and exclude.
func configurations() []Settings {
	share := func(name string, s Sharing) Settings {
		out := mixed()
		out.Rules = []Rule{{Sharing: map[string]Sharing{name: s}}}
		return out
	}
	single, none, renamed, excluded := mixed(), mixed(), mixed(), mixed()
	single.Strategy, none.Strategy = StrategySingle, StrategyNone
	renamed.Rules = []Rule{{Match: gpu.Selector{Indexes: []int{1}}, Names: map[string]string{GPUResource: "nvidia.com/second", "nvidia.com/mig-1g.10gb": "nvidia.com/small"}}}
	excluded.Rules = []Rule{{Match: gpu.Selector{Indexes: []int{0}}, Exclude: true}}
	return []Settings{
		mixed(), single, none, renamed, excluded,
		share("*", Sharing{Replicas: 3}), share("*", Sharing{Replicas: 2}), share(GPUResource, Sharing{Replicas: 2, Rename: "nvidia.com/gpu.shared"}),
		share("nvidia.com/mig-3g.40gb", Sharing{Replicas: 2}),
	}
}

func layouts() []string {
	return []string{
		"", "mig", "3g.40gb@0:4 3g.40gb@4:4", "1g.10gb@0:1 1g.10gb@1:1 2g.20gb@2:2 3g.40gb@4:4",
		"3g.40gb@0:4/1c.3g.40gb/2c.3g.40gb 1g.10gb@4:1", "7g.80gb@0:8",
	}
}

// Whatever changes in whatever order, no hardware is given twice, no id vanishes under the kubelet, claimed ids stay listed, and
// at rest everything is offered.
func TestNothingIsGivenTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shape := []string{"", "3g.40gb@0:4 3g.40gb@4:4"}
		health := []gpu.Health{{}, {}}
		snapshot := func() *gpu.Snapshot {
			s := node(shape...)
			for i := range health {
				s.GPUs[i].Health = health[i]
			}
			return s
		}
		var possible []string
		publish := func(w *world) { w.offers.Set(could(snapshot(), possible...)) }
		w := newWorld(t, mixed(), snapshot())
		w.pass(time.Second, true)
		inFlight := struct {
			pod, resource string
			ids           []string
		}{}
		draw := func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "choice") }
		busy := func(i int) bool {
			for _, h := range w.holders {
				for _, d := range h.devices {
					if d.GPU == gpu.UUID(fmt.Sprintf("GPU-%d", i)) {
						return true
					}
				}
			}
			return false
		}
		one := func(list []string) string { return list[draw(len(list))] }
		t.Repeat(map[string]func(*rapid.T){
			"settings": func(t *rapid.T) { w.settings.Set(configurations()[draw(len(configurations()))]); w.step() },
			"layout": func(t *rapid.T) { // a busy GPU cannot be changed
				if i := draw(2); !busy(i) {
					shape[i] = one(layouts())
					publish(w)
					w.step()
				}
			},
			"possible": func(t *rapid.T) {
				possible = [][]string{nil, {"0:3g.40gb", "0:1g.10gb"}, {"1:7g.80gb", "1:"}}[draw(3)]
				publish(w)
				w.step()
			},
			"health": func(t *rapid.T) {
				health[draw(2)] = gpu.Health{State: gpu.State(draw(5)), Reason: "drawn"}
				publish(w)
				w.step()
			},
			"step": func(t *rapid.T) { w.step() },
			"deliver": func(t *rapid.T) {
				if handlers, _ := w.regs.feed.Get(); len(handlers) > 0 {
					w.deliver(one(slices.Sorted(maps.Keys(handlers))))
				}
			},
			"pick": func(t *rapid.T) {
				if len(w.kubelet) == 0 || inFlight.ids != nil {
					return
				}
				inFlight.resource = one(slices.Sorted(maps.Keys(w.kubelet)))
				if inFlight.ids = w.pick(inFlight.resource, 1+draw(2), draw); inFlight.ids != nil {
					w.serial++
					inFlight.pod = fmt.Sprintf("pod-%d", w.serial)
				}
			},
			"allocate": func(t *rapid.T) {
				if inFlight.ids != nil {
					_ = w.allocate(inFlight.pod, inFlight.resource, inFlight.ids)
					inFlight.ids = nil
				}
			},
			"end": func(t *rapid.T) {
				if len(w.holders) > 0 {
					w.end(one(slices.Sorted(maps.Keys(w.holders))))
				}
			},
			"api":     func(t *rapid.T) { w.node.away = !w.node.away },
			"restart": func(t *rapid.T) { inFlight.ids = nil; w.restart() },
			"kubelet restarts": func(t *rapid.T) {
				inFlight.ids = nil
				for _, k := range w.kubelet {
					if k.from != nil {
						delete(k.from.streams, k.stream)
					}
					k.devices, k.from, k.stream = map[string]bool{}, nil, nil
				}
			},
			"moment": func(t *rapid.T) { w.pass(time.Duration(draw(2000))*time.Millisecond, draw(2) == 0) },
			"while":  func(t *rapid.T) { inFlight.ids = nil; w.pass(time.Duration(draw(60))*time.Second, true) },
		})
		w.node.away = false
		for _, pod := range slices.Sorted(maps.Keys(w.holders)) {
			w.end(pod)
		}
		w.pass(8*time.Minute, true)
		w.settled()
	})
}

// A pod that the scheduler bound to this node is admitted, whatever is configured meanwhile.
func TestBoundPodsAreAdmitted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, mixed(), node("", "3g.40gb@0:4 3g.40gb@4:4", ""))
		w.pass(time.Second, true)
		draw := func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "choice") }
		type bound struct {
			pod, resource string
			due           time.Time
		}
		var waiting []bound
		admit := func() {
			for len(waiting) > 0 && !waiting[0].due.After(w.now) {
				b := waiting[0]
				waiting = waiting[1:]
				ids := w.pick(b.resource, 1, draw)
				if ids == nil {
					t.Fatalf("%s is bound and finds no %s: %v", b.pod, b.resource, w.kubelet[b.resource].devices)
				}
				if err := w.allocate(b.pod, b.resource, ids); err != nil {
					t.Fatalf("%s is bound and refused: %v", b.pod, err)
				}
				w.setPod(b.pod, func(p *kubelet.Pod) { p.Admitted = true })
			}
		}
		requests := func(resource string) (n int64) {
			for _, h := range w.holders {
				if h.resource == resource {
					n++
				}
			}
			for _, b := range waiting {
				if b.resource == resource {
					n++
				}
			}
			return n
		}
		t.Repeat(map[string]func(*rapid.T){
			"settings": func(t *rapid.T) { w.settings.Set(configurations()[draw(len(configurations()))]); w.step() },
			"bind": func(t *rapid.T) {
				node, _ := w.node.Allocatable()
				if len(node) == 0 {
					return
				}
				resource := slices.Sorted(maps.Keys(node))[draw(len(node))]
				if node[resource]-requests(resource) < 1 {
					return
				}
				w.serial++
				b := bound{fmt.Sprintf("pod-%d", w.serial), resource, w.now.Add(time.Duration(draw(3000)) * time.Millisecond)}
				waiting = append(waiting, b)
				slices.SortStableFunc(waiting, func(x, y bound) int { return x.due.Compare(y.due) })
				w.setPod(b.pod, func(p *kubelet.Pod) {
					p.Containers = []kubelet.Container{{Name: "main", Requests: map[string]int64{resource: 1}}}
				})
			},
			"time": func(t *rapid.T) {
				for range draw(60) {
					w.pass(50*time.Millisecond, true)
					admit()
				}
			},
			"end": func(t *rapid.T) {
				if len(w.holders) > 0 {
					w.end(slices.Sorted(maps.Keys(w.holders))[draw(len(w.holders))])
				}
			},
		})
	})
}
