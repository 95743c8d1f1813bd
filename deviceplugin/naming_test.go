package deviceplugin

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gpulet/gpulet/gpu"
)

func TestNameOffers(t *testing.T) {
	sharing := func(name string, s Sharing) Settings {
		out := mixed()
		out.Rules = []Rule{{Sharing: map[string]Sharing{name: s}}}
		return out
	}
	strategy := func(s Strategy) Settings {
		out := mixed()
		out.Strategy = s
		return out
	}
	rules := func(r ...Rule) Settings {
		out := mixed()
		out.Rules = r
		return out
	}
	envvar := mixed()
	envvar.Deliveries = []Delivery{EnvVar}
	for _, c := range []struct {
		name     string
		settings Settings
		node     *gpu.Snapshot
		extra    []gpu.Offer
		devices  string
		withheld string
	}{
		{"whole GPUs", mixed(), node("", ""), nil, "nvidia.com/gpu=GPU-0 nvidia.com/gpu=GPU-1", ""},
		{
			"mixed", mixed(), node("", "3g.40gb@0:4 1g.10gb+me@4:1"), nil,
			"nvidia.com/gpu=GPU-0 nvidia.com/mig-3g.40gb=GPU-1:3g.40gb:0 nvidia.com/mig-1g.10gb.me=GPU-1:1g.10gb_me:4", "",
		},
		{
			"mixed, sub-slices have a name of their own", mixed(), node("3g.40gb@4:4/1c.3g.40gb/2c.3g.40gb"), nil,
			"nvidia.com/mig-1c.3g.40gb=GPU-0:1c.3g.40gb:4.0 nvidia.com/mig-2c.3g.40gb=GPU-0:2c.3g.40gb:4.1", "",
		},
		{
			"none gives one reason a GPU", strategy(StrategyNone), node("", "3g.40gb@0:4 3g.40gb@4:4"), nil,
			"nvidia.com/gpu=GPU-0", "GPU-1 GPU: it is in MIG mode, and with strategy none MIG devices are not offered",
		},
		{
			"single", strategy(StrategySingle), node("3g.40gb@0:4 3g.40gb@4:4"), nil,
			"nvidia.com/gpu=GPU-0:3g.40gb:0 nvidia.com/gpu=GPU-0:3g.40gb:4", "",
		},
		{"single without MIG mode", strategy(StrategySingle), node("", ""), nil, "nvidia.com/gpu=GPU-0 nvidia.com/gpu=GPU-1", ""},
		{
			"single takes the profile that most have and stops nothing for the rest", strategy(StrategySingle),
			node("2g.20gb@0:2 1g.10gb@4:1 1g.10gb@5:1", ""), nil,
			"nvidia.com/gpu=GPU-0:1g.10gb:4 nvidia.com/gpu=GPU-0:1g.10gb:5",
			"GPU-0 MIG device 2g.20gb@0: strategy single: its profile is not 1g.10gb, which most MIG devices of this node have; " +
				"GPU-1 GPU: strategy single: other GPUs of this node are in MIG mode, and whole GPUs would have the same name",
		},
		{
			"single does not mind an excluded GPU in MIG mode",
			Settings{Strategy: StrategySingle, Deliveries: []Delivery{CDICRI}, Rules: []Rule{{Match: gpu.Selector{Indexes: []int{0}}, Exclude: true}}},
			node("1g.10gb@0:1", ""), nil, "nvidia.com/gpu=GPU-1", "GPU-0 GPU: the configuration excludes it",
		},
		{
			"replicas", sharing("nvidia.com/gpu", Sharing{Replicas: 2}), node("", "1g.10gb@0:1"), nil,
			"nvidia.com/gpu=GPU-0::0 nvidia.com/gpu=GPU-0::1 nvidia.com/mig-1g.10gb=GPU-1:1g.10gb:0", "",
		},
		{
			"replicas renamed", sharing("nvidia.com/mig-1g.10gb", Sharing{Replicas: 2, Rename: "nvidia.com/small"}), node("1g.10gb@0:1"), nil,
			"nvidia.com/small=GPU-0:1g.10gb:0::0 nvidia.com/small=GPU-0:1g.10gb:0::1", "",
		},
		{
			"the rest is shared too", sharing("*", Sharing{Replicas: 2}), node("", "1g.10gb@0:1"), nil,
			"nvidia.com/gpu=GPU-0::0 nvidia.com/gpu=GPU-0::1 nvidia.com/mig-1g.10gb=GPU-1:1g.10gb:0::0 nvidia.com/mig-1g.10gb=GPU-1:1g.10gb:0::1", "",
		},
		{
			"names, then sharing by the new name",
			rules(Rule{Names: map[string]string{GPUResource: "example.com/big"}, Sharing: map[string]Sharing{"example.com/big": {Replicas: 2}}}),
			node(""), nil, "example.com/big=GPU-0::0 example.com/big=GPU-0::1", "",
		},
		{
			"the first rule that matches decides",
			rules(
				Rule{Match: gpu.Selector{UUIDs: []gpu.UUID{"GPU-1"}}, Exclude: true},
				Rule{Match: gpu.Selector{Models: []string{"*a100*"}, PCI: []gpu.PCIAddress{"0000:00:00.0"}}, Names: map[string]string{GPUResource: "nvidia.com/first"}},
				Rule{Names: map[string]string{GPUResource: "nvidia.com/rest"}},
			),
			node("", "", ""), nil, "nvidia.com/first=GPU-0 nvidia.com/rest=GPU-2", "GPU-1 GPU: the configuration excludes it",
		},
		{
			"a name that Kubernetes refuses", rules(Rule{Names: map[string]string{GPUResource: "gpu"}}), node(""), nil,
			"", `GPU-0 GPU: resource name "gpu" has no domain, such as in nvidia.com/gpu`,
		},
		{
			"a promise needs cdi-cri", envvar, node("mig"),
			[]gpu.Offer{{Device: slot(0, "1g.10gb@0")}},
			"",
			"GPU-0 GPU: it is in MIG mode and has no GPU instance; " +
				"GPU-0 MIG device 1g.10gb@0: it does not exist yet, and only cdi-cri can promise a device before it exists",
		},
		{
			"offered twice", mixed(), node(""),
			[]gpu.Offer{{Device: gpu.Device{GPU: "GPU-0"}}},
			"nvidia.com/gpu=GPU-0", "GPU-0 GPU: it is offered twice, as GPU-0",
		},
		{
			"a GPU that nobody knows", mixed(), node(""),
			[]gpu.Offer{{Device: gpu.Device{GPU: "GPU-9"}}},
			"nvidia.com/gpu=GPU-0", "GPU-9 GPU: its GPU is not in the inventory",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := gpu.StaticOffers(c.node)
			o.Offers = append(o.Offers, c.extra...)
			n := NameOffers(c.settings, o)
			var devices, withheld []string
			for _, d := range n.Devices {
				devices = append(devices, d.Resource+"="+d.Device.ID())
			}
			for _, w := range n.Withheld {
				withheld = append(withheld, fmt.Sprintf("%s %s: %s", w.GPU, w.What, w.Reason))
			}
			equal(t, "devices", strings.Join(devices, " "), c.devices)
			equal(t, "withheld", strings.Join(withheld, "; "), c.withheld)
		})
	}
}

func TestValidateName(t *testing.T) {
	for name, ok := range map[string]bool{
		"nvidia.com/gpu":                        true,
		"nvidia.com/mig-1g.24gb.me.all":         true,
		"nvidia.com/mig-1g.24gb-me":             true,
		"example.com/a_b":                       true,
		"gpu":                                   false,
		"nvidia.com/":                           false,
		"nvidia.com/-gpu":                       false,
		"nvidia.com/mig-1g.10gb+me":             false,
		"kubernetes.io/gpu":                     false,
		"node.kubernetes.io/gpu":                false,
		"requests.nvidia.com/gpu":               false,
		"a/b/c":                                 false,
		"nvidia.com/" + strings.Repeat("x", 53): false,
		"nvidia.com/" + strings.Repeat("x", 52): true,
	} {
		if err := ValidateName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}
