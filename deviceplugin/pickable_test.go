package deviceplugin

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
)

// pickables is what the kubelet may give by the last view.
func (w *world) pickables() string {
	v, _ := w.manager.View().Get()
	var out []string
	for _, p := range v.Pickable {
		out = append(out, fmt.Sprintf("%s %s: %s", p.Resource, p.ID, p.Why))
	}
	return strings.Join(out, "\n")
}

// offer offers nothing but these slots of GPU-0, of which none exists.
func (w *world) offer(version uint64, slots ...string) {
	o := gpu.StaticOffers(node("mig"))
	o.Version = version
	for _, s := range slots {
		o.Offers = append(o.Offers, gpu.Offer{Device: slot(0, s)})
	}
	w.offers.Set(o)
}

// A device is pickable from its first list until the kubelet cannot give it any more, with the reason of each wait.
func TestPickable(t *testing.T) {
	w := newWorld(t, mixed(), node("mig"))
	w.offer(1, "3g.40gb@0", "3g.40gb@4")
	w.pass(time.Second, true)
	const first, second = "nvidia.com/mig-3g.40gb GPU-0:3g.40gb:0: ", "nvidia.com/mig-3g.40gb GPU-0:3g.40gb:4: "
	equal(t, "offered", w.pickables(), first+"it is offered\n"+second+"it is offered")
	w.offer(2, "3g.40gb@4")
	w.pass(100*time.Millisecond, true)
	equal(t, "lowering", w.pickables(), first+"it leaves: pods that are bound to this node just now may still get it\n"+second+"it is offered")
	w.pass(time.Second, false)
	equal(t, "withdrawn", w.pickables(), first+"it leaves: the kubelet was not told yet\n"+second+"it is offered")
	w.pass(3*time.Second, true)
	equal(t, "released", w.pickables(), second+"it is offered")
	if d := w.kubelet[mig40].devices; d["GPU-0:3g.40gb:0"] {
		t.Error("the kubelet counts what it is said not to count")
	}
	if err := w.allocate("late", mig40, []string{"GPU-0:3g.40gb:0"}); err == nil {
		t.Error("what was let go of is given")
	}
}

// A replica is its device: what is shared is pickable by each share.
func TestPickableShares(t *testing.T) {
	w := newWorld(t, shared(), node(""))
	w.pass(time.Second, true)
	v, _ := w.manager.View().Get()
	for _, p := range v.Pickable {
		if p.Device != (gpu.Device{Kind: gpu.Whole, GPU: "GPU-0"}) {
			t.Errorf("%+v is not the device itself", p)
		}
	}
	if len(v.Pickable) != 2 {
		t.Errorf("pickable: %s", w.pickables())
	}
}

// The view tells from which offers it was made, also when they change nothing.
func TestTheViewFollowsTheOffers(t *testing.T) {
	bubble(t, mixed(), node(""), func(r *rig) {
		r.after(time.Second)
		o := gpu.StaticOffers(node(""))
		o.Version = 7
		_, changed := r.manager.View().Get()
		r.offers.Set(o)
		synctest.Wait()
		select {
		case <-changed:
		default:
			t.Error("no view was published")
		}
		if v, _ := r.manager.View().Get(); v.Offers != 7 {
			t.Errorf("the view is of offers %d", v.Offers)
		}
	})
}

// What the agent before this one had with the kubelet can be given until the kubelet has this one's list.
func TestOthersArePickable(t *testing.T) {
	w := newWorld(t, mixed(), node("mig"))
	resources := gpu.NewFeed(&kubelet.Assigned{})
	w.manager.cfg.Resources = assignments{resources}
	w.offer(5, "3g.40gb@4")
	w.step()
	if v, _ := w.manager.View().Get(); v.Offers != 0 {
		t.Error("it is known what the kubelet may give before it said so")
	}
	resources.Set(&kubelet.Assigned{At: w.now, Synced: true, Allocatable: map[string][]string{
		mig40: {"GPU-0:3g.40gb:0"}, "nvidia.com/old": {"GPU-0:2g.20gb:2::1", "GPU-9"},
	}})
	w.step()
	const other = "the kubelet counts it, and does not ask this agent for it"
	const all = "nvidia.com/mig-3g.40gb GPU-0:3g.40gb:0: " + other + "\nnvidia.com/old GPU-0:2g.20gb:2::1: " + other + "\nnvidia.com/mig-3g.40gb GPU-0:3g.40gb:4: it is offered"
	equal(t, "before the list", w.pickables(), all)
	w.pass(time.Second, true)
	rest := strings.SplitN(all, "\n", 2)[1]
	equal(t, "after it", w.pickables(), rest)
	resources.Set(&kubelet.Assigned{At: w.now, Allocatable: map[string][]string{"nvidia.com/old": {"GPU-0:2g.20gb:2::1"}}})
	w.pass(time.Second, true)
	equal(t, "while the kubelet does not answer", w.pickables(), rest)
	if v, _ := w.manager.View().Get(); v.Offers != 5 {
		t.Errorf("the view is of offers %d", v.Offers)
	}
	resources.Set(&kubelet.Assigned{At: w.now, Synced: true, Allocatable: map[string][]string{mig40: {"GPU-0:3g.40gb:4"}}})
	w.pass(time.Second, true)
	equal(t, "when the other left", w.pickables(), "nvidia.com/mig-3g.40gb GPU-0:3g.40gb:4: it is offered")
}

// A kubelet that never says what it counts does not hold changes up for ever.
func TestASilentKubeletIsNotWaitedForForEver(t *testing.T) {
	w := newWorld(t, mixed(), node("mig"))
	w.manager.cfg.Resources = assignments{gpu.NewFeed(&kubelet.Assigned{})}
	w.offer(5, "3g.40gb@4")
	w.pass(trusted-time.Second, true)
	if v, _ := w.manager.View().Get(); v.Offers != 0 {
		t.Error("a kubelet that may be with another agent's devices is not waited for")
	}
	w.pass(2*time.Second, true)
	if v, _ := w.manager.View().Get(); v.Offers != 5 {
		t.Errorf("the view is of offers %d", v.Offers)
	}
}

// hooked are specs that do something while an Allocate is under way: it has looked at its device and not booked it yet.
type hooked struct {
	*fakeSpecs
	hook func()
}

func (h *hooked) DriverName() string {
	if hook := h.hook; hook != nil {
		h.hook = nil
		hook()
	}
	return h.fakeSpecs.DriverName()
}

// An Allocate that is under way while its device is let go of either has its claim open before anybody learns that the device is
// free of the kubelet, or is refused.
func TestAnAllocateRacesTheRelease(t *testing.T) {
	const id = "GPU-0:3g.40gb:0"
	begin := func() (*world, *hooked) {
		w := newWorld(t, mixed(), node("mig"))
		specs := &hooked{fakeSpecs: newFakeSpecs()}
		w.manager.cfg.Specs, w.manager.desk.cfg.Specs = specs, specs
		w.offer(1, "3g.40gb@0")
		w.pass(time.Second, true)
		w.offer(2)
		w.pass(time.Second, true)
		equal(t, "before", w.pickables(), mig40+" "+id+": it leaves: the kubelet may still count it")
		return w, specs
	}
	allocate := func(w *world) error {
		_, err := w.regs.handler(mig40).Allocate(t.Context(), &api.AllocateRequest{
			ContainerRequests: []*api.ContainerAllocateRequest{{DevicesIds: []string{id}}},
		})
		return err
	}

	w, specs := begin()
	specs.hook = func() {
		w.pass(3*time.Second, true)
		equal(t, "meanwhile", w.pickables(), "")
	}
	if err := allocate(w); err == nil || !strings.Contains(err.Error(), "cannot be given: it is no longer offered as") {
		t.Errorf("a device that was let go of is given: %v", err)
	}
	if set, _ := w.claims.Feed().Get(); len(set.ByID) > 0 {
		t.Errorf("and claimed: %v", set.ByID)
	}

	w, _ = begin()
	s, _ := w.settings.Get()
	o, _ := w.offers.Get()
	before, _ := w.claims.Feed().Get()
	p, _ := w.pods.Get()
	if err := allocate(w); err != nil {
		t.Fatal(err)
	}
	w.manager.pass(w.now.Add(3*time.Second), s, o, before, p) // a look that began before the claim was open
	equal(t, "after", w.pickables(), "")
	if set, _ := w.claims.Feed().Get(); !set.Held(id) {
		t.Error("nobody can see that it was given")
	}

	// Who has a device is answered again, until its claim ends.
	w.step()
	if err := allocate(w); err != nil {
		t.Errorf("the holder is refused: %v", err)
	}
	w.claims.end(mig40, id)
	if err := allocate(w); err == nil {
		t.Error("a released device is given whose claim ended just now")
	}
}
