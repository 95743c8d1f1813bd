package config

import (
	"reflect"
	"testing"
	"time"

	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/partitioner"
	"github.com/gpulet/gpulet/partitioner/plan"
)

func profile(name string) mig.Profile {
	p, err := mig.ParseProfile(name)
	if err != nil {
		panic(err)
	}
	return p
}

// counts are names of profiles and their numbers in turn.
func counts(pairs ...any) (out []plan.Count) {
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, plan.Count{Profile: profile(pairs[i].(string)), Count: pairs[i+1].(int)})
	}
	return out
}

// Who says nothing of it has GPUs that nobody divides.
func TestNothingIsDividedUnlessToldSo(t *testing.T) {
	r, err := Sources{}.Resolve("f.yaml", []byte("version: "+Version+"\ngpus: [{names: {nvidia.com/gpu: example.com/gpu}}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := partitioner.Settings{
		Rules:   []partitioner.Rule{{Mode: partitioner.Keep}},
		IdleTTL: time.Minute, Cooldown: 5 * time.Second, ModeCooldown: 2 * time.Minute, AgedAfter: 5 * time.Minute,
		OnDemand: true, Namespace: "gpulet",
	}
	if !reflect.DeepEqual(r.Config.Partition, want) {
		t.Errorf("got  %+v\nwant %+v", r.Config.Partition, want)
	}
	if r.Config.Partition.Active() {
		t.Error("something is to be changed")
	}
}

// The modes that divide GPUs are taken with names by which pods can ask for a profile.
func TestModes(t *testing.T) {
	r, err := Sources{}.Resolve("f.yaml", []byte("version: "+Version+`
gpus:
  - {match: {indexes: 0}, mode: auto}
  - {match: {indexes: 1}, mode: mig}
  - {match: {indexes: 2}, mode: mig, layout: {1g.10gb: 7}}
  - {match: {indexes: 3}, mode: mig, config: all-balanced}
`))
	if err != nil {
		t.Fatal(err)
	}
	rules := r.Config.Partition.Rules
	for i, want := range []partitioner.Rule{
		{Mode: partitioner.Auto},
		{Mode: partitioner.MIG},
		{Mode: partitioner.MIG, Layout: counts("1g.10gb", 7)},
		{Mode: partitioner.MIG, Named: "all-balanced"},
	} {
		want.Match.Indexes = []int{i}
		if !reflect.DeepEqual(rules[i], want) {
			t.Errorf("got  %+v\nwant %+v", rules[i], want)
		}
	}
}

// The agents of one release meet in the namespace of their pods.
func TestTheNamespaceIsThatOfThePod(t *testing.T) {
	env := func(name string) (string, bool) { return "gpu-system", name == "POD_NAMESPACE" }
	r, err := Sources{Env: env}.Resolve("f.yaml", []byte("version: "+Version))
	if err != nil || r.Config.Partition.Namespace != "gpu-system" {
		t.Errorf("%q, %v", r.Config.Partition.Namespace, err)
	}
	later, err := Sources{Env: env, Flags: map[string]string{"partition-namespace": "other"}}.Resolve("f.yaml", []byte("version: "+Version))
	if err != nil || later.Config.Partition.Namespace != "other" {
		t.Errorf("%q, %v", later.Config.Partition.Namespace, err)
	}
	if got := Pending(r, later); !reflect.DeepEqual(got, []string{"partition.namespace"}) {
		t.Errorf("waits for the next start: %v", got)
	}
}
