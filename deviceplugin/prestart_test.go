package deviceplugin

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/status"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
)

// processes are the processes of a test: on which GPU, of which pod, and how they are called. It is Holders and Processes.
type processes struct {
	mu   sync.Mutex
	list map[int]process
}

type process struct {
	gpu.Holder
	on   gpu.UUID
	pod  kubelet.UID
	name string
}

func (p *processes) set(pid int, q process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q.PID = pid
	p.list[pid] = q
}

func (p *processes) kill(pid int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.list, pid)
}

func (p *processes) Holders(_ context.Context, uuid gpu.UUID) (out []gpu.Holder, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, q := range p.list {
		if q.on == uuid {
			out = append(out, q.Holder)
		}
	}
	return out, nil
}

func (p *processes) Pod(pid int) (kubelet.UID, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.list[pid].pod, p.list[pid].pod != ""
}

func (p *processes) Name(pid int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.list[pid].name
}

// realizer makes hardware, or says why not.
type realizer func(ids []string) error

func (f realizer) Ensure(_ context.Context, ids []string) error { return f(ids) }

// events are what people were told.
type events struct {
	mu   sync.Mutex
	told []string
}

func (e *events) Pod(namespace, name string, _ kubelet.UID, _ bool, reason, message string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.told = append(e.told, namespace+"/"+name+" "+reason+": "+message)
}

func (e *events) Node(_ bool, reason, message string) { e.Pod("", "", "", true, reason, message) }

const mig40 = "nvidia.com/mig-3g.40gb"

// promises is a GPU in MIG mode whose two slots do not exist yet.
func promises(r *rig) {
	o := gpu.StaticOffers(node("mig"))
	o.Offers = []gpu.Offer{{Device: slot(0, "3g.40gb@0")}, {Device: slot(0, "3g.40gb@4")}}
	r.offers.Set(o)
	synctest.Wait()
}

// start is the kubelet's PreStartContainer: how long it took, and its error.
func (r *rig) start(resource string, ids ...string) (time.Duration, string) {
	begun := time.Now()
	_, err := r.regs.handler(resource).PreStart(r.t.Context(), &api.PreStartContainerRequest{DevicesIds: ids})
	synctest.Wait()
	if err != nil {
		return time.Since(begun), status.Convert(err).Message()
	}
	return time.Since(begun), ""
}

func TestOnlyPromisesNeedAStart(t *testing.T) {
	bubble(t, mixed(), node("3g.40gb@0:4", ""), func(r *rig) {
		for _, resource := range []string{GPUResource, mig40} {
			if r.regs.handler(resource).Options().PreStartRequired {
				t.Errorf("%s registers for PreStart with nothing to do", resource)
			}
		}
		promises(r)
		if !r.regs.handler(mig40).Options().PreStartRequired {
			t.Error("a promise was made and nobody keeps it")
		}
	})
}

func TestAStartMakesItsHardware(t *testing.T) {
	var made []string
	var refuse error
	bubble(t, mixed(), node("mig"), func(r *rig) {
		promises(r)
		if _, err := r.allocate(mig40, "GPU-0:3g.40gb:4"); err != nil {
			t.Fatal(err)
		}
		r.specs.set("GPU-0:3g.40gb:4", true) // of a promise nobody expects a spec yet
		time.AfterFunc(3*time.Second, func() { r.specs.set("GPU-0:3g.40gb:4", false) })
		if took, err := r.start(mig40, "GPU-0:3g.40gb:4"); err != "" || took < 3*time.Second || took > 4*time.Second {
			t.Errorf("after %s: %s", took, err)
		}
		equal(t, "made", strings.Join(made, " "), "GPU-0:3g.40gb:4")
		refuse = errors.New("the driver says no")
		for _, last := range []string{"", "", "!"} { // a try of a pod each
			if took, err := r.start(mig40, "GPU-0:3g.40gb:4"); err != "the driver says no" || took != startBudget {
				t.Errorf("after %s: %s", took, err)
			}
			r.expect(mig40, "GPU-0:3g.40gb:0 GPU-0:3g.40gb:4") // its pod may go on trying
			r.claims.end(mig40, "GPU-0:3g.40gb:4")
			r.after(time.Millisecond)
			r.expect(mig40, "GPU-0:3g.40gb:0 GPU-0:3g.40gb:4"+last)
			if last != "" {
				break
			}
			if _, err := r.allocate(mig40, "GPU-0:3g.40gb:4"); err != nil {
				t.Fatal(err)
			}
		}
		v, _ := r.manager.View().Get()
		equal(t, "reason", v.Resources[mig40][1].Reason, "3 containers in a row could not start on it: the driver says no")
		r.after(11 * time.Minute)
		r.expect(mig40, "GPU-0:3g.40gb:0 GPU-0:3g.40gb:4")
	}, func(c *Config) {
		c.Realizer = realizer(func(ids []string) error { made = ids; return refuse })
	})
}

// A start that nobody waits for any more says nothing of the device: the kubelet was restarted, or the agent leaves.
func TestAStartThatIsGivenUp(t *testing.T) {
	bubble(t, mixed(), node("mig"), func(r *rig) {
		promises(r)
		for range startStrikes {
			ctx, cancel := context.WithCancel(r.t.Context())
			time.AfterFunc(time.Second, cancel)
			if _, err := r.regs.handler(mig40).PreStart(ctx, &api.PreStartContainerRequest{DevicesIds: []string{"GPU-0:3g.40gb:4"}}); err == nil {
				t.Error("it started")
			}
		}
		r.after(time.Millisecond)
		r.expect(mig40, "GPU-0:3g.40gb:0 GPU-0:3g.40gb:4")
	}, func(c *Config) { c.Realizer = realizer(func([]string) error { return errors.New("no") }) })
}

// What keeps a container from starting, and what does not.
func TestLeftovers(t *testing.T) {
	const wait = 5 * time.Second
	mine := gpu.Holder{GPUInstance: 1, ComputeInstance: 0}
	other := gpu.Holder{GPUInstance: 2, ComputeInstance: 0}
	unknown := gpu.Holder{GPUInstance: gpu.NoInstance, ComputeInstance: gpu.NoInstance}
	for _, c := range []struct {
		name    string
		process process
		dies    bool // after wait
		took    time.Duration
		err     string
		event   string
	}{
		{"none", process{on: "GPU-9"}, false, 0, "", ""},
		{"of the same pod", process{mine, "GPU-0", "me", "python"}, false, 0, "", ""},
		{"of a pod with another slot, where the driver does not tell", process{unknown, "GPU-0", "neighbour", "python"}, false, 0, "", ""},
		{"in another instance", process{other, "GPU-0", "gone", "python"}, false, 0, "", ""},
		{"on the list", process{mine, "GPU-0", "", "nvidia-persiste"}, false, 0, "", ""},
		{"that is gone by now", process{mine, "GPU-0", "gone", ""}, false, 0, "", ""},
		{"of a pod that ended, which goes", process{mine, "GPU-0", "gone", "python"}, true, wait, "", ""},
		{
			"of a pod that ended, which stays",
			process{mine, "GPU-0", "ended", "python"},
			false, startBudget,
			"process 7 (python) of a pod that ended is still on GPU-0:3g.40gb:0", "",
		},
		{"of nobody, which goes", process{mine, "GPU-0", "", "python"}, true, wait, "", ""},
		{
			"of nobody, which stays",
			process{mine, "GPU-0", "", "python"},
			false, strangers, "",
			"ns/mine GPUInUse: process 7 (python), which has not been given GPU-0:3g.40gb:0, is on it as a container starts",
		},
		{
			"of a pod that was given nothing",
			process{mine, "GPU-0", "rogue", "python"},
			false, strangers, "",
			"ns/mine GPUInUse: process 7 (python), which has not been given GPU-0:3g.40gb:0, is on it as a container starts",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			ps, es := &processes{list: map[int]process{}}, &events{}
			s := mixed()
			s.Ignore = []string{"nvidia-persiste"}
			bubble(t, s, node("3g.40gb@0:4 3g.40gb@4:4"), func(r *rig) {
				r.claims.add(
					kubelet.Claim{Resource: mig40, ID: "GPU-0:3g.40gb:0", Pod: "me", Namespace: "ns", Name: "mine"},
					kubelet.Claim{Resource: mig40, ID: "GPU-0:3g.40gb:4", Pod: "neighbour", Namespace: "ns", Name: "neighbour"},
				)
				r.pods.Set(&kubelet.Pods{Synced: true, ByUID: map[kubelet.UID]kubelet.Pod{
					"me": {UID: "me"}, "neighbour": {UID: "neighbour"}, "rogue": {UID: "rogue"}, "ended": {UID: "ended", Ended: true},
				}})
				ps.set(7, c.process)
				if c.dies {
					time.AfterFunc(wait, func() { ps.kill(7) })
				}
				took, err := r.start(mig40, "GPU-0:3g.40gb:0")
				if took < c.took || took > c.took+startLook {
					t.Errorf("it took %s, want %s", took, c.took)
				}
				equal(t, "error", err, c.err)
				equal(t, "event", strings.Join(es.told, "; "), c.event)
			}, func(cfg *Config) { cfg.Holders, cfg.Processes, cfg.Events = ps, ps, es })
		})
	}
}

func TestAStartWaitsForTheOtherPodToEnd(t *testing.T) {
	bubble(t, mixed(), node(""), func(r *rig) {
		r.claims.add(
			kubelet.Claim{Resource: GPUResource, ID: "GPU-0", Pod: "new", Namespace: "ns", Name: "new"},
			kubelet.Claim{Resource: GPUResource, ID: "GPU-0", Pod: "old", Namespace: "ns", Name: "old"},
		)
		if took, err := r.start(GPUResource, "GPU-0"); err != "nvidia.com/gpu GPU-0: pod ns/old still has it" || took != startBudget {
			t.Errorf("after %s: %s", took, err)
		}
		time.AfterFunc(4*time.Second, func() {
			r.claims.end(GPUResource, "GPU-0")
			r.claims.add(kubelet.Claim{Resource: GPUResource, ID: "GPU-0", Pod: "new", Namespace: "ns", Name: "new"})
		})
		if took, err := r.start(GPUResource, "GPU-0"); err != "" || took != 4*time.Second {
			t.Errorf("after %s: %s", took, err)
		}
	})
}

// A container of a pod restarts on what the pod has, also when that is not given anew.
func TestAStartOnWhatIsNotGivenAnew(t *testing.T) {
	bubble(t, mixed(), node("", ""), func(r *rig) {
		if _, err := r.allocate(GPUResource, "GPU-0"); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			state gpu.State
			err   string
		}{{gpu.Draining, ""}, {gpu.Suspect, ""}, {gpu.Unhealthy, "nvidia.com/gpu GPU-0: it fell off the bus"}} {
			s := node("", "")
			s.GPUs[0].Health = gpu.Health{State: c.state, Reason: "it fell off the bus"}
			r.offers.Set(gpu.StaticOffers(s))
			r.after(time.Second)
			r.expect(GPUResource, "GPU-0! GPU-1")
			_, err := r.start(GPUResource, "GPU-0")
			equal(t, c.state.String(), err, c.err)
		}
		if _, err := r.start(GPUResource, "GPU-5"); err != `nvidia.com/gpu has no device "GPU-5"` {
			t.Error(err)
		}
	})
}
