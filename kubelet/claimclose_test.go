package kubelet

import (
	"testing"
	"time"
)

// A pod that a synced list does not have is over only when every account of the kubelet agrees. Each doubt alone keeps its claim.
func TestAbsenceNeedsEveryAccount(t *testing.T) {
	start := time.Unix(1e9, 0)
	key := DeviceKey{gpus, "g0"}
	for name, c := range map[string]struct {
		doubt func(e *evidence)
		// closes is after how long; 0 is never.
		closes time.Duration
	}{
		"all agree":                   {func(*evidence) {}, 20 * time.Second},
		"the checkpoint is not there": {func(e *evidence) { e.checkpoint.Absent = true }, 20 * time.Second},
		"the checkpoint is old":       {func(e *evidence) { e.checkpoint.Entries, e.checkpoint.Written = entries("u1"), start }, 70 * time.Second},
		"the checkpoint names the pod": {
			func(e *evidence) { e.checkpoint.Entries, e.checkpoint.Written = entries("u1"), e.now }, 0,
		},
		"the checkpoint cannot be read":         {func(e *evidence) { e.checkpoint = nil }, 0},
		"the checkpoint was not read again":     {func(e *evidence) { e.checkpoint.Read = start }, 0},
		"podresources does not answer":          {func(e *evidence) { e.assigned.Synced = false }, 0},
		"podresources was not asked again":      {func(e *evidence) { e.assigned.At = start }, 0},
		"podresources names it":                 {func(e *evidence) { e.assigned.Devices = map[DeviceKey][]Assignment{key: {{"ns", "a", "main"}}} }, 0},
		"podresources counts the pod as active": {func(e *evidence) { e.assigned.Active = map[string]struct{}{"ns/a": {}} }, 0},
		"the list is not complete":              {func(e *evidence) { e.pods.Synced = false }, 0},
		"the pod is listed":                     {func(e *evidence) { e.pods.ByUID = map[UID]Pod{"u1": running("u1", "a")} }, 0},
		"the name is another pod's": {func(e *evidence) {
			e.assigned.Active = map[string]struct{}{"ns/a": {}}
			e.pods.ByUID = map[UID]Pod{"u2": running("u2", "a")}
		}, 20 * time.Second},
		"the device is another pod's": {func(e *evidence) {
			e.assigned.Devices = map[DeviceKey][]Assignment{key: {{"ns", "b", "main"}}}
			e.pods.ByUID = map[UID]Pod{"u2": running("u2", "b")}
		}, 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBook()
			b.add(Claim{
				Resource: gpus, ID: "g0", Pod: "u1", Namespace: "ns", Name: "a", Container: "main", Opened: start, Confirmed: true,
			}, "test")
			closed := time.Duration(0)
			for d := time.Duration(0); d < time.Hour; d += 10 * time.Second {
				now := start.Add(d)
				e := &evidence{
					now: now, pods: &Pods{Synced: true}, assigned: &Assigned{At: now, Synced: true},
					checkpoint: &Checkpoint{Read: now, Written: start}, idle: true, ours: func(string) bool { return true },
				}
				c.doubt(e)
				b.reconcile(e)
				if held := b.exact(key, "u1", "main") != nil; !held && closed == 0 {
					closed = d
				}
			}
			if (closed == 0) != (c.closes == 0) || closed > c.closes {
				t.Errorf("closed after %s, want %s; %+v", closed, c.closes, b.list())
			}
			if c.closes > 30*time.Second && closed < doubtFor {
				t.Errorf("closed after %s already", closed)
			}
		})
	}
}

func entries(pods ...UID) (out []CheckpointEntry) {
	for _, p := range pods {
		out = append(out, gave(p, "main", "g0"))
	}
	return out
}

// An Allocate is somebody's for sure only when the kubelet says so later than it was made.
func TestOldAccountsConfirmNothing(t *testing.T) {
	start := time.Unix(1e9, 0)
	for name, c := range map[string]struct {
		written, asked time.Duration // after the Allocate
		confirmed      bool
	}{
		"both are older":             {-time.Second, -time.Second, false},
		"the checkpoint is newer":    {time.Millisecond, -time.Second, true},
		"podresources is newer":      {-time.Second, time.Second, true},
		"the file's clock is coarse": {-4 * time.Millisecond, -time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBook()
			pods := &Pods{Synced: true, ByUID: map[UID]Pod{"u1": waiting("u1", "a"), "u2": waiting("u2", "b")}}
			b.open(gpus, []string{"g0"}, pods, start)
			file := entries("u1")
			if c.asked > 0 { // podresources alone
				file = nil
			}
			b.reconcile(&evidence{
				now: start.Add(2 * time.Second), pods: pods, idle: true, ours: func(string) bool { return true },
				assigned: &Assigned{
					At: start.Add(c.asked), Synced: true,
					Devices: map[DeviceKey][]Assignment{{gpus, "g0"}: {{"ns", "a", "main"}}},
				},
				checkpoint: &Checkpoint{Read: start.Add(time.Second), Written: start.Add(c.written), Entries: file},
			})
			claims := b.of(DeviceKey{gpus, "g0"})
			if confirmed := len(claims) == 1 && claims[0].Confirmed && !claims[0].Foreign; confirmed != c.confirmed {
				t.Errorf("%+v; want our claim confirmed: %t", b.list(), c.confirmed)
			}
		})
	}
}

// Which pod an Allocate is for is a guess, and made only where there is no choice.
func TestGuess(t *testing.T) {
	two := waiting("u9", "two")
	two.Containers[0].Requests = map[string]int64{gpus: 2}
	deleting := waiting("u8", "deleting")
	deleting.Deleting = true
	for name, c := range map[string]struct {
		pods []Pod
		ids  []string
		want UID
	}{
		"nobody":                      {nil, []string{"g0"}, ""},
		"one waits":                   {[]Pod{waiting("u1", "a")}, []string{"g0"}, "u1"},
		"two wait":                    {[]Pod{waiting("u1", "a"), waiting("u2", "b")}, []string{"g0"}, ""},
		"one of them by count":        {[]Pod{waiting("u1", "a"), two}, []string{"g0", "g1"}, "u9"},
		"others run, end or are over": {[]Pod{waiting("u1", "a"), running("u2", "b"), over("u3", "c"), deleting}, []string{"g0"}, "u1"},
		"another resource":            {[]Pod{{UID: "u1", Containers: []Container{{Name: "c", Requests: map[string]int64{"x/y": 1}}}}}, []string{"g0"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			pods := &Pods{ByUID: map[UID]Pod{}}
			for _, p := range c.pods {
				pods.ByUID[p.UID] = p
			}
			b := newBook()
			b.open(gpus, c.ids, pods, time.Unix(1e9, 0))
			if got := b.claims[0].Pod; got != c.want || len(b.claims) != len(c.ids) {
				t.Errorf("it is %q's, want %q; %+v", got, c.want, b.list())
			}
		})
	}
	t.Run("a pod's next container takes a device over", func(t *testing.T) {
		b := newBook()
		pods := &Pods{ByUID: map[UID]Pod{"u1": waiting("u1", "a", "init", "main")}}
		b.open(gpus, []string{"g0"}, pods, time.Unix(1e9, 0))
		pods = &Pods{ByUID: map[UID]Pod{"u1": pods.ByUID["u1"], "u2": waiting("u2", "b")}}
		b.open(gpus, []string{"g0"}, pods, time.Unix(1e9, 1))
		if got := b.list(); len(got) != 2 || got[0].Container != "init" || got[1].Container != "main" || got[1].Pod != "u1" {
			t.Errorf("%+v", got)
		}
	})
}
