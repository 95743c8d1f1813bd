package label

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpulet/gpulet/partitioner"
	"github.com/gpulet/gpulet/partitioner/apply"
	"github.com/gpulet/gpulet/partitioner/plan"
)

func contains(s, part string) bool { return strings.Contains(s, part) }

func following() partitioner.Settings { return partitioner.Settings{Label: true, AllowReset: true} }

func asked(name string) map[string]string { return map[string]string{ConfigLabel: name} }

// A label becomes a layout: pending while GPUs are missing, success when all are there, pending again when one is not any more.
func TestLabelIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, gpus(t, "a30x4"), following(), map[string]string{}, "")
		defer n.stop()
		n.wants("", "", "")
		n.declares(0, "-")
		if n.written() != 0 {
			t.Errorf("a Node of which nobody asks anything is written to %d times", n.written())
		}

		n.label(ConfigLabel, "all-balanced")
		n.declares(0, "2 x 1g.6gb, 1 x 2g.12gb")
		n.wants(Pending, ReasonPending, "all-balanced: GPUs 0-3: it has MIG off, not 2 x 1g.6gb, 1 x 2g.12gb: it is not planned yet")
		n.divide(0, 1, 2)
		time.Sleep(betweenTexts)
		n.wants(Pending, ReasonPending, "GPU 3: it has MIG off")
		n.divide(3)
		n.divide(0, 1, 2, 3)
		n.wants(Success, ReasonReached, "all-balanced is there on GPUs 0-3")

		old, _ := n.cfg.Snapshots.Get()
		s := *old
		s.GPUs = append(s.GPUs[:0:0], s.GPUs...)
		s.GPUs[2].Instances = s.GPUs[2].Instances[1:]
		n.cfg.Snapshots.Set(&s)
		n.settle()
		n.wants(Pending, ReasonPending, "GPU 2: it has")

		n.label(ConfigLabel, "all-disabled")
		n.declares(0, "MIG off")
		n.wants(Pending, ReasonPending, "all-disabled: ")
		n.label(ConfigLabel, "")
		n.declares(0, "-")
		n.wants("", ReasonNotAsked, "no label nvidia.com/mig.config")
	})
}

// What cannot be fails with the reason, and what was declared before stays; it succeeds without a new label once it can be.
func TestFailureSaysWhyAndHeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := write(t, "version: v1\nmig-configs:\n  ours:\n    - {devices: all, mig-enabled: true, mig-devices: {7g.40gb: 1}}\n")
		settings := following()
		settings.PartedFile = file
		n := start(t, gpus(t, "a100-40x8"), settings, asked("ours"), "")
		defer n.stop()
		n.declares(0, "1 x 7g.40gb")

		n.label(ConfigLabel, "all-balancd")
		n.wants(Failed, ReasonFailed, `there is no configuration "all-balancd"; did you mean "all-balanced"? valid are ours, all-disabled`)
		n.declares(0, "1 x 7g.40gb")

		rewrite(t, file, "version: v1\nmig-configs:\n  all-balancd:\n    - {devices: all, mig-enabled: true, mig-devices: {3g.20gb: 3}}\n")
		time.Sleep(10 * time.Second)
		n.wants(Failed, ReasonFailed, "GPUs 0-7: at most 2 of 3g.20gb fit, not 3; until that is right, the label nvidia.com/mig.config=ours holds as it was")

		rewrite(t, file, "version: v2\n")
		time.Sleep(20 * time.Second)
		n.wants(Failed, ReasonFailed, `config.yaml:1: version: "v2" is not understood; valid is v1`)

		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		n.wants(Failed, ReasonFailed, "it is the file that partition.configFile of gpulet's configuration names")

		rewrite(t, file, "version: v1\nmig-configs:\n  all-balancd:\n    - {devices: [0], mig-enabled: true, mig-devices: {3g.20gb: 2}}\n")
		time.Sleep(10 * time.Second)
		n.declares(0, "2 x 3g.20gb")
		n.declares(1, "-")
		n.divide(0)
		n.wants(Success, ReasonReached, "all-balancd is there on GPU 0")
	})
}

// While pods are in the way the state is pending and the condition names them; what only a person can change is failed.
func TestReasonsNameWhoIsInTheWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, gpus(t, "a30x4"), following(), asked("all-1g.6gb"), "")
		defer n.stop()
		n.divide(0, 1, 2, 3)
		n.wants(Success, ReasonReached, "")
		n.label(ConfigLabel, "all-4g.24gb")
		n.see(0, func(g *partitioner.GPUView) {
			g.Reached, g.Source = false, "the label nvidia.com/mig.config=all-4g.24gb"
			g.Slots = []partitioner.SlotView{
				{Slot: slotOf(t, "1g.6gb", 0, 1), Name: "1g.6gb@0", State: partitioner.SlotClaimed, Exists: true, Holder: "pod team/train-0"},
				{Slot: slotOf(t, "1g.6gb", 1, 1), Name: "1g.6gb@1", State: partitioner.SlotGoing, Exists: true},
				{Slot: slotOf(t, "1g.6gb", 2, 1), Name: "1g.6gb@2", State: partitioner.SlotIdle, Exists: true, Foreign: true},
			}
		})
		n.wants(Pending, ReasonPending, "GPU 0: it has 4 x 1g.6gb, not 1 x 4g.24gb: 1g.6gb@0 is held by pod team/train-0, 1g.6gb@2 was made by an administrator and stays; GPUs 1-3")
		n.see(0, func(g *partitioner.GPUView) {
			g.Trouble, g.Cause = "1 of 1 declared 4g.24gb are missing: GPU 0 slot 0 is held by pod team/train-0", string(plan.CauseHeld)
		})
		n.wants(Pending, ReasonPending, "1g.6gb@0 is held by pod team/train-0, 1g.6gb@2 was made by an administrator and stays")
		n.see(0, func(g *partitioner.GPUView) { g.Slots = g.Slots[1:] })
		n.wants(Failed, ReasonFailed, "GPU 0: it has 4 x 1g.6gb, not 1 x 4g.24gb: 1g.6gb@2 was made by an administrator and stays")
		n.see(0, func(g *partitioner.GPUView) {
			g.Trouble, g.Cause = "the driver does not let this process do it", string(apply.CausePermission)
		})
		n.wants(Failed, ReasonFailed, "the driver does not let this process do it")
		n.see(0, func(g *partitioner.GPUView) {
			g.Trouble, g.Cause = "1g.6gb@0 is in use by python (pid 4711)", string(apply.CauseInUse)
		})
		n.wants(Pending, ReasonPending, "1g.6gb@0 is in use by python (pid 4711)")
		n.see(0, func(g *partitioner.GPUView) { g.Source = "gpulet partition set" })
		n.wants(Pending, ReasonPending, "gpulet partition set goes before the label")
	})
}

// On GPUs whose mode changes with a reset only, that is not waited for in silence.
func TestResetThatIsNotAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, gpus(t, "a30x4"), partitioner.Settings{Label: true}, asked("all-1g.6gb"), "")
		defer n.stop()
		n.see(0, func(*partitioner.GPUView) {})
		n.wants(Failed, ReasonFailed, "its MIG mode changes only with a reset, which allowReset does not permit")
		n.cfg.Settings.Set(following())
		n.settle()
		n.wants(Pending, ReasonPending, "it is being changed")
	})
}

// The API server's absence changes nothing on the GPUs, also over a restart, and the Node is told when it is back.
func TestAPIServerAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := gpus(t, "a30x4")
		n := start(t, s, following(), asked("all-1g.6gb"), dir)
		n.declares(0, "4 x 1g.6gb")
		n.cfg.Labels.Set(nil)
		n.settle()
		n.declares(0, "4 x 1g.6gb")
		n.stop()

		n = start(t, s, following(), nil, dir)
		n.declares(0, "4 x 1g.6gb")
		n.setAway(true)
		before := n.written()
		n.mu.Lock()
		n.labels = asked("all-2g.12gb")
		n.cfg.Labels.Set(n.labels)
		n.mu.Unlock()
		time.Sleep(10 * time.Minute)
		n.declares(0, "2 x 2g.12gb")
		if tries := n.written() - before; tries < 5 || tries > 20 {
			t.Errorf("%d tries in ten minutes", tries)
		}
		n.setAway(false)
		time.Sleep(time.Minute)
		n.settle()
		n.wants(Pending, ReasonPending, "all-2g.12gb")
		n.label(ConfigLabel, "")
		n.stop()
		if _, err := os.Stat(filepath.Join(dir, keptFile)); !os.IsNotExist(err) {
			t.Errorf("what was declared is kept after the label is gone: %v", err)
		}
	})
}

// The Node is written to when something changed, at a bounded rate, and what another writes over it is put right.
func TestWritesAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, gpus(t, "a30x4"), following(), asked("all-1g.6gb"), "")
		defer n.stop()
		n.divide(0, 1, 2, 3)
		before := n.written()
		for range 600 { // an hour in which everything is told anew and nothing is different
			s, _ := n.cfg.Snapshots.Get()
			again := *s
			again.Version++
			n.cfg.Snapshots.Set(&again)
			time.Sleep(6 * time.Second)
		}
		if writes := n.written() - before; writes != 0 {
			t.Errorf("%d writes while nothing changed", writes)
		}
		for i := range 600 { // a minute in which the reason changes ten times a second
			n.cfg.View.Set(&partitioner.View{Waiting: strings.Repeat("x", i%7)})
			time.Sleep(100 * time.Millisecond)
		}
		if writes := n.written() - before; writes > 16 {
			t.Errorf("%d writes in a minute of new reasons", writes)
		}
		n.divide(0, 1, 2, 3)
		n.label(StateLabel, "rebooting")
		time.Sleep(reclaim)
		n.settle()
		n.wants(Success, ReasonReached, "all-1g.6gb is there on GPUs 0-3")
	})
}

// Without the setting nothing is declared and nothing is written, whatever the label says; a state that was left from then goes
// with the label.
func TestNotFollowing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, gpus(t, "a30x4"), partitioner.Settings{}, asked("all-1g.6gb"), "")
		defer n.stop()
		n.declares(0, "-")
		if n.written() != 0 {
			t.Errorf("%d writes", n.written())
		}
		n.cfg.Settings.Set(following())
		n.settle()
		n.declares(0, "4 x 1g.6gb")
		n.cfg.Settings.Set(partitioner.Settings{})
		n.settle()
		n.declares(0, "-")
	})
	synctest.Test(t, func(t *testing.T) {
		n := start(t, gpus(t, "a30x4"), following(), map[string]string{StateLabel: Success}, "")
		defer n.stop()
		n.wants("", ReasonNotAsked, "no label")
	})
}

// A configuration for other GPUs is no failure: mig-manager does nothing and says success, too.
func TestConfigurationForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		settings := following()
		settings.PartedFile = write(t, "version: v1\nmig-configs: {ours: [{device-filter: '0x233010DE', devices: all, mig-enabled: false}]}")
		n := start(t, gpus(t, "a30x4"), settings, asked("ours"), "")
		defer n.stop()
		n.wants(Success, ReasonReached, "ours says nothing about the GPUs of this node")
	})
}

// The function that the partitioner asks for named configurations answers as the label does.
func TestResolve(t *testing.T) {
	s := gpus(t, "a30x4")
	file := write(t, "version: v1\nmig-configs: {all-balanced: [{devices: [1], mig-enabled: true, mig-devices: {4g.24gb: 1}}]}")
	for path, want := range map[string]string{"": "2 x 1g.6gb, 1 x 2g.12gb", file: "1 x 4g.24gb"} {
		made, err := Resolve(s, path, "all-balanced")
		if got := made[s.GPUs[1].UUID].String(); err != nil || got != want {
			t.Errorf("%q: got %s, %v, want %s", path, got, err, want)
		}
	}
	if _, err := Resolve(s, file+"x", "all-balanced"); err == nil {
		t.Error("a file that is not there is no error")
	}
}
