package process

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gpulet/gpulet/agent"
	"github.com/gpulet/gpulet/test/gpusim/model"
)

// share offers every GPU four times under another name.
const share = "health: {interval: 500ms}\ngpus:\n  - sharing: {nvidia.com/gpu: {replicas: 4, rename: nvidia.com/gpu.shared}}\n"

// A configuration that shares what was given whole, and back, with pods in use: what a pod has is offered under no other name
// before that pod ends, though the agent crashes meanwhile.
func TestReplacedConfiguration(t *testing.T) {
	for name, change := range map[string]func(*node, string){
		"while the agent runs": (*node).configure,
		"by the next agent after a crash": func(n *node, text string) {
			n.agent.Kill()
			n.config = text
			n.stays.fresh() // it cannot know what the other had listed
			n.start()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fromWholeToShared(t, change)
		})
	}
}

func fromWholeToShared(t *testing.T, configure func(*node, string)) {
	n := begin(t, wanted{hardware: model.Shape{Name: "t4x3", Driver: "550.54.15", GPUs: []model.GPUShape{{Model: "t4", Count: 3}}}})
	gpus := offered(n.pieces())
	n.offers(gpus)
	old, has := n.runs(whole, 1)

	configure(n, share)
	free := slices.DeleteFunc(slices.Clone(gpus[whole]), func(id string) bool { return id == has[0] })
	n.offers(replicas(4, free...))
	n.await("why the rest is not shared", func(s agent.Status) bool {
		return slices.ContainsFunc(s.Withheld, func(w agent.Withheld) bool {
			return string(w.GPU) == has[0] && strings.Contains(w.Reason, old.Name)
		})
	})
	first, _ := n.runs(shared, 8)
	n.rejects(shared, 1)
	n.rejects(whole, 1)
	n.end(old.UID)
	n.offers(replicas(4, gpus[whole]...))
	second, its := n.runs(shared, 1)

	configure(n, "")
	n.offers(map[string][]string{}) // every GPU has replicas in use
	n.rejects(whole, 1)
	n.end(first.UID)
	gpu, _, _ := strings.Cut(its[0], "::")
	n.offers(map[string][]string{whole: slices.DeleteFunc(slices.Clone(gpus[whole]), func(id string) bool { return id == gpu })})
	n.runs(whole, 2)
	n.end(second.UID)
	n.offers(gpus)
}

func replicas(count int, gpus ...string) map[string][]string {
	var ids []string
	for _, g := range gpus {
		for i := range count {
			ids = append(ids, fmt.Sprintf("%s::%d", g, i))
		}
	}
	return map[string][]string{shared: slices.Sorted(slices.Values(ids))}
}

// Pods come and go, and one stays, while the configuration changes to and fro.
func TestConfigurationUnderLoad(t *testing.T) {
	t.Parallel()
	n := begin(t, wanted{hardware: fiveGPUs(), config: sharedT4})
	all := n.withReplicas("T4", 3)
	n.offers(all)
	_, has := n.runs(whole, 1)
	c := n.crowd(3, map[string]int64{whole: 1}, whole, shared)
	defer c.stop()
	c.storm() // a pod that is bound just before the Node shrinks is rejected: nobody tells the agent of it
	others := slices.DeleteFunc(slices.Clone(all[whole]), func(id string) bool { return id == has[0] })
	for range 2 {
		n.configure(share)
		n.offersOneOf(shared, replicas(4, others...)[shared])
		c.more(20)
		n.configure(sharedT4)
		n.offersOneOf(whole, others)
		c.more(20)
	}
	c.stop()
	n.offers(all)
}

// offersOneOf waits until the kubelet can give one of some devices.
func (n *node) offersOneOf(resource string, ids []string) {
	n.t.Helper()
	ctx, cancel := within(n.t)
	defer cancel()
	if err := n.kubelet.Wait(ctx, "one of "+strings.Join(ids, ", "), func() bool {
		return slices.ContainsFunc(n.healthy()[resource], func(id string) bool { return slices.Contains(ids, id) })
	}); err != nil {
		n.t.Fatal(err)
	}
}

// A mistake in the configuration changes nothing, over a crash too; status says where it is, and what was meant.
func TestWrongConfiguration(t *testing.T) {
	t.Parallel()
	n := begin(t, wanted{hardware: fiveGPUs(), config: sharedT4})
	all := n.withReplicas("T4", 3)
	n.offers(all)
	lists := n.lists()
	n.configure(strings.Replace(sharedT4, "replicas:", "replica:", 1))
	wrong := func(s agent.Status) bool {
		return strings.Contains(s.Config.Error, "gpulet.yaml:4:") && strings.Contains(s.Config.Error, `replica: there is no such key; did you mean "replicas"?`)
	}
	n.await("the mistake", wrong)
	n.runs(shared, 1)
	if n.lists() != lists {
		t.Errorf("lists were sent: %d, then %d", lists, n.lists())
	}
	n.agent.Kill()
	n.start()
	n.offers(all)
	n.await("the mistake again", wrong)
	n.configure(strings.Replace(sharedT4, "replicas: 3", "replicas: 5", 1))
	n.offers(n.withReplicas("T4", 5))
	n.await("no mistake", func(s agent.Status) bool { return s.Config.Error == "" })
}
