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
// before that pod ends.
func TestReplacedConfiguration(t *testing.T) {
	t.Parallel()
	n := begin(t, wanted{hardware: model.Shape{Name: "t4x3", Driver: "550.54.15", GPUs: []model.GPUShape{{Model: "t4", Count: 3}}}})
	gpus := offered(n.pieces())
	n.offers(gpus)
	old, has := n.runs(whole, 1)

	n.configure(share)
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

	n.configure("")
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

// Pods come and go while the configuration changes to and fro.
func TestConfigurationUnderLoad(t *testing.T) {
	t.Parallel()
	n := begin(t, wanted{hardware: fiveGPUs(), config: sharedT4})
	n.offers(n.withReplicas("T4", 3))
	c := n.crowd(3, map[string]int64{}, whole, slice, shared)
	defer c.stop()
	c.storm() // a pod that is bound just before the Node shrinks is rejected: nobody tells the agent of it
	for range 2 {
		for _, text := range []string{share, sharedT4} {
			n.configure(text)
			n.await("the configuration", func(s agent.Status) bool { return ready(s) && s.Config.Error == "" })
			c.more(10)
		}
	}
	c.stop()
	n.offers(n.withReplicas("T4", 3))
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
