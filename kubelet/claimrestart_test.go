package kubelet

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// The agent dies after it answered Allocate and before it wrote anything: the kubelet's accounts tell the next one.
func TestCrashBetweenAllocateAndSave(t *testing.T) {
	for _, from := range []string{"checkpoint", "podresources"} {
		t.Run(from, func(t *testing.T) {
			inRig(t, func(r *rig) {
				if from == "checkpoint" {
					r.wrote(gave("u1", "main", "g0"), CheckpointEntry{Pod: "u1", Container: "main", Resource: "other/nic", IDs: []string{"n0"}})
				} else {
					r.says(gpus, "g0 a/main")
				}
				r.start()
				r.complete(true)
				r.held("g0", true)
				r.held("n0", false) // not ours
				r.list(running("u1", "a"))
				r.after(10 * time.Second)
				r.is("g0", "u1/main")
				set, _ := r.claims.Feed().Get()
				if c := set.ByID["g0"][0]; !c.Foreign || c.Name != "a" {
					t.Errorf("%+v does not say that it was found, and whose it is", c)
				}
			})
		})
	}
}

// Nothing is complete before somebody's account of the kubelet was seen, or there is no kubelet.
func TestCompleteNeedsTheKubeletsAccount(t *testing.T) {
	inRig(t, func(r *rig) {
		if err := os.WriteFile(r.checkpoint, []byte(`{"PodDeviceEntries":[]}`), 0o600); err != nil {
			t.Fatal(err)
		}
		r.start()
		r.list()
		r.after(time.Minute)
		r.complete(false)
		if !r.log.has("checkpoint cannot be used") {
			t.Error("nobody says why")
		}
		r.says(gpus)
		r.complete(true)
	})
	inRig(t, func(r *rig) {
		r.start()
		r.complete(false)
		r.assigned.feed.Set(&Assigned{Absent: true, Reason: "no socket"})
		synctest.Wait()
		r.complete(true)
	})
}

// A restart of the agent changes nothing; containers that restart make no Allocate.
func TestAgentRestart(t *testing.T) {
	inRig(t, func(r *rig) {
		r.wrote()
		r.start()
		r.list(waiting("u1", "a"))
		r.says(gpus)
		r.claims.Open(gpus, []string{"g0"})
		r.wrote(gave("u1", "main", "g0"))
		r.claims.Open(gpus, []string{"g1"}) // nobody knows whose this is yet
		r.stop()
		r.pods.Set(&Pods{Reason: "away"})
		r.assigned.feed.Set(&Assigned{Reason: "away"})
		r.start()
		r.is("g0", "u1/main")
		r.is("g1", "/?")
		r.after(time.Hour) // no source came back
		r.held("g0", true)
		r.held("g1", true)
	})
}

// The kubelet restarts: sources go, come back empty or not yet complete, and nothing is let go.
func TestKubeletRestart(t *testing.T) {
	inRig(t, func(r *rig) {
		r.wrote(gave("u1", "main", "g0"))
		r.start()
		r.list(running("u1", "a"))
		r.says(gpus, "g0 a/main")
		r.pods.Set(&Pods{Reason: "connection lost", ByUID: map[UID]Pod{}}) // not synced, and without the pod
		r.assigned.feed.Set(&Assigned{Reason: "away"})
		r.after(time.Hour)
		r.is("g0", "u1/main")
		// podresources may answer before the kubelet knows its pods.
		r.says(gpus)
		r.after(time.Hour)
		r.is("g0", "u1/main")
		r.list(running("u1", "a"))
		r.says(gpus, "g0 a/main")
		r.after(time.Hour)
		r.is("g0", "u1/main")
	})
}

// After a reboot only what the kubelet will admit again is held.
func TestReboot(t *testing.T) {
	inRig(t, func(r *rig) {
		r.wrote(gave("u1", "main", "g0"), gave("u2", "main", "g1"))
		r.start()
		r.list(running("u1", "a"), running("u2", "b"))
		r.claims.Open(gpus, []string{"g2"})
		r.after(time.Second)
		r.stop()
		r.boot = "boot-2"
		r.pods.Set(&Pods{Reason: "away"})
		r.wrote(gave("u1", "main", "g0"))
		r.start()
		r.is("g0", "u1/main")
		r.held("g1", false)
		r.held("g2", false)
		r.stop()
		r.boot = "boot-3"
		if err := os.WriteFile(r.checkpoint, []byte("?"), 0o600); err != nil {
			t.Fatal(err)
		}
		r.start()
		r.held("g0", true) // nobody can tell
	})
}

// A state file that makes no sense costs nothing that the kubelet knows, and is kept aside.
func TestBadStateFile(t *testing.T) {
	inRig(t, func(r *rig) {
		if err := os.MkdirAll(r.state, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(r.state, claimsFile), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		r.wrote(gave("u1", "main", "g0"))
		r.start()
		r.is("g0", "u1/main")
		if _, err := os.Stat(filepath.Join(r.state, claimsFile+".bad")); err != nil {
			t.Error(err)
		}
	})
}

// A state folder that cannot be written is tried again.
func TestStateIsWrittenLater(t *testing.T) {
	inRig(t, func(r *rig) {
		if err := os.WriteFile(r.state, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		r.wrote(gave("u1", "main", "g0"))
		r.start()
		r.held("g0", true)
		if err := os.Remove(r.state); err != nil {
			t.Fatal(err)
		}
		r.after(saveAgain + time.Second)
		s, err := loadClaims(r.state)
		if err != nil || len(s.Claims) != 1 || s.Claims[0].Pod != "u1" || s.BootID != "boot-1" {
			t.Fatalf("%+v, %v", s, err)
		}
	})
}
