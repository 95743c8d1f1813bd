package label

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/partitioner"
	"github.com/gpulet/gpulet/partitioner/apply"
	"github.com/gpulet/gpulet/partitioner/parted"
	"github.com/gpulet/gpulet/partitioner/plan"
)

// maxMessage is how long a message may be, in bytes.
const maxMessage = 1024

// judge tells how far a declaration came.
func judge(name string, d *partitioner.Declaration, settings partitioner.Settings, s *gpu.Snapshot, v *partitioner.View) Status {
	if len(d.Targets) == 0 {
		return Status{name, Success, ReasonReached, name + " says nothing about the GPUs of this node"}
	}
	var done []int
	var waits []string           // in the order of the GPUs
	who := map[string][]int{}    // GPUs by what they wait for
	hopeless := map[int]string{} // GPUs for which somebody has to do something
	for i := range s.GPUs {
		g := &s.GPUs[i]
		target, ok := d.Targets[g.UUID]
		if !ok {
			continue
		}
		gv := viewOf(v, g.UUID)
		if reached(g, target, gv) {
			done = append(done, g.Index)
			continue
		}
		why, forGood := obstacle(d, target, settings, g, v, gv)
		text := fmt.Sprintf("%s, not %s: %s", now(g), target, why)
		if who[text] == nil {
			waits = append(waits, text)
		}
		if who[text] = append(who[text], g.Index); forGood {
			hopeless[g.Index] = text
		}
	}
	if len(waits) == 0 {
		return Status{name, Success, ReasonReached, shorten(fmt.Sprintf("%s is there on %s", name, parted.ListGPUs(done)))}
	}
	for i, text := range waits {
		waits[i] = parted.ListGPUs(who[text]) + ": " + text
	}
	message := shorten(name + ": " + strings.Join(waits, "; "))
	if len(hopeless) > 0 {
		return Status{name, Failed, ReasonFailed, message}
	}
	return Status{name, Pending, ReasonPending, message}
}

func viewOf(v *partitioner.View, uuid gpu.UUID) *partitioner.GPUView {
	if v == nil {
		return nil
	}
	i := slices.IndexFunc(v.GPUs, func(g partitioner.GPUView) bool { return g.UUID == uuid })
	if i < 0 {
		return nil
	}
	return &v.GPUs[i]
}

// reached reports whether a GPU is what it is to be. Any placement of the right counts is.
func reached(g *gpu.GPU, target parted.Target, gv *partitioner.GPUView) bool {
	if g.MIG.Enabled != target.MIG || g.MIG.Pending != target.MIG {
		return false
	}
	if !target.MIG {
		return true
	}
	return gv != nil && gv.Reached && slices.Equal(counts(g), target.Counts)
}

// counts are the instances of a GPU that can be used, ordered as a target's.
func counts(g *gpu.GPU) []plan.Count {
	have := map[mig.Profile]int{}
	for _, in := range g.Instances {
		if len(in.Compute) > 0 {
			have[in.Slot.Profile]++
		}
	}
	return parted.Counts(have)
}

// now is what a GPU is, to be read before ", not".
func now(g *gpu.GPU) string {
	if g.MIG.Enabled != g.MIG.Pending {
		return "its MIG mode is changing"
	}
	return "it has " + parted.Target{MIG: g.MIG.Enabled, Counts: counts(g)}.String()
}

// obstacle tells why a GPU is not yet what it is to be, and whether waiting alone does not help.
func obstacle(d *partitioner.Declaration, t parted.Target, settings partitioner.Settings, g *gpu.GPU, v *partitioner.View, gv *partitioner.GPUView) (why string, forGood bool) {
	switch {
	case settings.DryRun:
		return "dryRun is set, and nothing is changed", true
	case gv == nil && v != nil && v.Waiting != "":
		return v.Waiting, false
	case gv == nil:
		return "it is not planned yet", false
	case g.MIG.Enabled != t.MIG && !settings.AllowReset && needsReset(g):
		return "its MIG mode changes only with a reset, which allowReset does not permit", true
	case gv.Source != "" && gv.Source != d.Source && !strings.HasPrefix(gv.Source, "the label "+ConfigLabel):
		return gv.Source + " goes before the label", false
	case gv.Out != "":
		return gv.Out, false
	}
	held, stays := inTheWay(t, gv)
	switch {
	case gv.Trouble != "" && gv.Cause != string(plan.CauseHeld):
		return gv.Trouble, final(gv.Cause)
	case held != "": // by the names of slots, where the planner counts memory slices
		return held, stays
	case gv.Trouble != "":
		return gv.Trouble, false
	}
	return "it is being changed", false
}

// needsReset reports whether a change of the mode takes effect with a reset only: before Hopper (NVIDIA's MIG guide).
func needsReset(g *gpu.GPU) bool {
	return g.ComputeCapability.Major > 0 && g.ComputeCapability.Major < 9
}

// final reports whether somebody has to do something about a trouble, other than to end a pod.
func final(cause string) bool {
	switch cause {
	case string(apply.CausePermission), string(apply.CauseUnsupported), string(apply.CauseNeedsReset),
		string(plan.CauseUnknown), string(plan.CausePolicy):
		return true
	}
	return false
}

// inTheWay names who holds what has to go, and whether all of that stays until an administrator takes it away.
func inTheWay(t parted.Target, gv *partitioner.GPUView) (text string, stays bool) {
	if gv.Whole == string(partitioner.SlotClaimed) {
		return "it is held as a whole by " + holder(gv.Holder), false
	}
	stays = true
	var out []string
	left := map[mig.Profile]int{}
	for _, c := range t.Counts {
		left[c.Profile] = c.Count
	}
	for _, s := range gv.Slots {
		used := s.State == partitioner.SlotClaimed || s.State == partitioner.SlotHeld
		if !used && (!s.Exists || !s.Foreign) {
			continue
		}
		if left[s.Slot.Profile]--; t.MIG && left[s.Slot.Profile] >= 0 {
			continue // it is one of those that are wanted
		}
		who := "is held by " + holder(s.Holder)
		if !used {
			who = "was made by an administrator and stays"
		}
		stays = stays && !used
		out = append(out, s.Name+" "+who)
	}
	return strings.Join(out, ", "), stays
}

func holder(s string) string {
	if s == "" {
		return "somebody who is not known yet"
	}
	return s
}

// oneLine makes one line of an error of many.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// shorten keeps a message within what a condition is good for.
func shorten(s string) string {
	if len(s) <= maxMessage {
		return s
	}
	return strings.ToValidUTF8(s[:maxMessage-4], "") + " ..."
}
