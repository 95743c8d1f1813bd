package deviceplugin

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/kubelet"
)

// could are offers of what exists, with profiles that GPUs could be divided into beside it: "0:3g.40gb", "1:" for the whole GPU.
func could(s *gpu.Snapshot, profiles ...string) *gpu.Offers {
	o := gpu.StaticOffers(s)
	for _, text := range profiles {
		n, name, _ := strings.Cut(text, ":")
		p := gpu.PossibleProfile{GPU: gpu.UUID("GPU-" + n)}
		if name != "" {
			p.Profile = profile(name)
		}
		o.Profiles = append(o.Profiles, p)
	}
	return o
}

// What a GPU could be divided into is registered and says 0, so that the first pod that wants it waits for no registration.
func TestPossibleProfilesAreRegistered(t *testing.T) {
	bubble(t, mixed(), node("mig", "", ""), func(r *rig) {
		r.offers.Set(could(node("mig", "", ""), "0:3g.40gb"))
		synctest.Wait()
		h := r.regs.handler(mig40)
		if h == nil || !h.Options().PreStartRequired {
			t.Fatalf("what is possible is not registered for PreStart: %v", h)
		}
		r.after(time.Millisecond)
		if c := r.api.says(mig40); c != (Count{}) {
			t.Errorf("the Node says %+v of what is possible", c)
		}
		r.after(time.Hour)
		o := could(node("mig", "", ""), "0:3g.40gb")
		o.Offers = append(o.Offers, gpu.Offer{Device: slot(0, "3g.40gb@0")})
		r.offers.Set(o)
		synctest.Wait()
		r.expect(mig40, "GPU-0:3g.40gb:0")
		r.after(time.Millisecond)
		if c := r.api.says(mig40); c != (Count{Capacity: 1, Allocatable: 1}) {
			t.Errorf("the Node says %+v of an offer", c)
		}
		if r.regs.handler(mig40) != h {
			t.Error("the first offer needed another registration")
		}
		r.offers.Set(could(node("mig", "", ""), "0:3g.40gb"))
		r.after(time.Hour)
		if r.regs.handler(mig40) != h || r.api.says(mig40) != (Count{}) {
			t.Errorf("what is possible ended; the Node says %+v", r.api.says(mig40))
		}
		r.offers.Set(could(node("mig", "", "")))
		r.after(time.Minute)
		if r.regs.handler(mig40) != nil || !r.api.says(mig40).Remove {
			t.Errorf("what is not possible any more is still there: the Node says %+v", r.api.says(mig40))
		}
		if r.regs.handler(GPUResource).Options().PreStartRequired {
			t.Error("whole GPUs are registered for PreStart with nothing to do")
		}
	})
}

// The names of what is possible are those that its devices will have.
func TestPossibleNames(t *testing.T) {
	rules := func(r ...Rule) Settings {
		s := mixed()
		s.Rules = r
		return s
	}
	single, none, envvar := mixed(), mixed(), mixed()
	single.Strategy, none.Strategy, envvar.Deliveries = StrategySingle, StrategyNone, []Delivery{EnvVar}
	for _, c := range []struct {
		name     string
		settings Settings
		want     string
	}{
		{"mixed", mixed(), "nvidia.com/gpu:false nvidia.com/mig-1g.10gb.me:true nvidia.com/mig-3g.40gb:true"},
		{"single", single, ""},
		{"none", none, ""},
		{"no way to promise", envvar, ""},
		{"excluded", rules(Rule{Match: gpu.Selector{Indexes: []int{0}}, Exclude: true}), "nvidia.com/gpu:false"},
		{"renamed", rules(Rule{Names: map[string]string{mig40: "example.com/big"}}), "example.com/big:true nvidia.com/gpu:false nvidia.com/mig-1g.10gb.me:true"},
		{
			"shared under another name", rules(Rule{Sharing: map[string]Sharing{"*": {Replicas: 2, Rename: "example.com/shared"}}}),
			"example.com/shared:true",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := NameOffers(c.settings, could(node("mig", ""), "0:3g.40gb", "0:1g.10gb+me", "1:", "7:7g.80gb")).Possible
			var out []string
			for _, name := range slices.Sorted(maps.Keys(got)) {
				out = append(out, fmt.Sprintf("%s:%v", name, got[name]))
			}
			equal(t, "possible", strings.Join(out, " "), c.want)
		})
	}
}

// Resources are what a pod can name to get something that nobody shares.
func TestResources(t *testing.T) {
	rules := func(r ...Rule) Settings {
		s := mixed()
		s.Rules = r
		return s
	}
	first := gpu.Selector{Indexes: []int{0}}
	single, none := mixed(), mixed()
	single.Strategy, none.Strategy = StrategySingle, StrategyNone
	all := "nvidia.com/gpu=whole nvidia.com/mig-1g.10gb=1g.10gb nvidia.com/mig-1g.10gb.me=1g.10gb+me nvidia.com/mig-1g.20gb=1g.20gb " +
		"nvidia.com/mig-2g.20gb=2g.20gb nvidia.com/mig-3g.40gb=3g.40gb nvidia.com/mig-4g.40gb=4g.40gb nvidia.com/mig-7g.80gb=7g.80gb"
	for _, c := range []struct {
		name     string
		settings Settings
		node     *gpu.Snapshot
		want     string
	}{
		{"mixed", mixed(), node("", "mig"), all},
		{"no GPU", mixed(), &gpu.Snapshot{}, ""},
		{"none", none, node("", "mig"), "nvidia.com/gpu=whole"},
		{"single, undivided", single, node("", ""), "nvidia.com/gpu=whole"},
		{"single, divided: the name is that of MIG devices", single, node("", "1g.10gb@0:1"), ""},
		{"excluded", rules(Rule{Exclude: true}), node("", ""), ""},
		{"renamed on one GPU", rules(Rule{Match: first, Names: map[string]string{GPUResource: "example.com/big"}}), node("", ""), "example.com/big=whole " + all},
		{
			"one name for two things", rules(Rule{Match: first, Names: map[string]string{mig40: "nvidia.com/mig-4g.40gb"}}), node(""),
			strings.Replace(strings.Replace(all, "nvidia.com/mig-3g.40gb=3g.40gb ", "", 1), "nvidia.com/mig-4g.40gb=4g.40gb ", "", 1),
		},
		{"shared on one GPU", rules(Rule{Match: first, Sharing: map[string]Sharing{GPUResource: {Replicas: 2}}}), node("", ""), strings.TrimPrefix(all, "nvidia.com/gpu=whole ")},
		{"shared under another name", rules(Rule{Match: first, Sharing: map[string]Sharing{"*": {Replicas: 2, Rename: "example.com/shared"}}}), node("", ""), all},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Resources(c.settings, c.node)
			var out []string
			for _, name := range slices.Sorted(maps.Keys(got)) {
				what := "whole"
				if got[name] != (mig.Profile{}) {
					what = got[name].String()
				}
				out = append(out, name+"="+what)
			}
			equal(t, "resources", strings.Join(out, " "), c.want)
		})
	}
}

// An instance that was made a moment ago has no spec for some milliseconds: its device stays as it was, since PreStart waits.
func TestANewInstanceWaitsForItsSpec(t *testing.T) {
	bubble(t, mixed(), node("mig"), func(r *rig) {
		promises(r)
		if _, err := r.allocate(mig40, "GPU-0:3g.40gb:0"); err != nil {
			t.Fatal(err)
		}
		r.specs.set("GPU-0:3g.40gb:0", true)
		r.specs.set("GPU-0:3g.40gb:4", true)
		made := func(layout string) *gpu.Offers {
			o := could(node(layout))
			if !strings.Contains(layout, "@4") {
				o.Offers = append(o.Offers, gpu.Offer{Device: slot(0, "3g.40gb@4")})
			}
			return o
		}
		r.offers.Set(made("3g.40gb@0:4"))
		r.after(time.Second)
		r.expect(mig40, "GPU-0:3g.40gb:0 GPU-0:3g.40gb:4")
		r.offers.Set(made("3g.40gb@0:4 3g.40gb@4:4"))
		r.after(time.Second)
		r.expect(mig40, "GPU-0:3g.40gb:0 GPU-0:3g.40gb:4")
		r.specs.set("GPU-0:3g.40gb:4", false)
		r.after(time.Minute)
		r.expect(mig40, "GPU-0:3g.40gb:0! GPU-0:3g.40gb:4") // a spec that stays away is a fault
		r.specs.set("GPU-0:3g.40gb:0", false)
		synctest.Wait()
		r.expect(mig40, "GPU-0:3g.40gb:0 GPU-0:3g.40gb:4")
	})
}

// The start of a container goes on in the moment in which its spec is written.
func TestAStartDoesNotWaitLongerThanForItsSpec(t *testing.T) {
	bubble(t, mixed(), node("mig"), func(r *rig) {
		promises(r)
		r.claims.add(kubelet.Claim{Resource: mig40, ID: "GPU-0:3g.40gb:0", Pod: "u"})
		r.specs.set("GPU-0:3g.40gb:0", true)
		time.AfterFunc(321*time.Millisecond, func() { r.specs.set("GPU-0:3g.40gb:0", false) })
		if took, err := r.start(mig40, "GPU-0:3g.40gb:0"); err != "" || took != 321*time.Millisecond {
			t.Errorf("after %s: %s", took, err)
		}
	})
}
