package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/gpulet/gpulet/apiserver"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/partitioner/fleet"
	"github.com/gpulet/gpulet/partitioner/fleet/fleettest"
)

// The cluster that the planner is measured with.
const (
	fleetNodes, fleetGPUs, fleetPods = 5000, 8, 1000
	fleetRounds                      = 50
	// steadySeconds is how long the steady state is watched, in real time; steadyPods come and end in a second of it.
	steadySeconds, steadyPods = 20, 20
)

// planFleet measures the planner of a cluster: its rounds, its memory, and what it and the nodes write.
func planFleet(ctx context.Context) error {
	geometries := []mig.Geometry{}
	for _, shape := range []string{"a30x4", "a100-40x8", "dgx-a100", "hgx-h100", "hgx-h200", "hgx-b200", "rtx6000x4"} {
		g, err := fleettest.Geometry(shape)
		if err != nil {
			return err
		}
		geometries = append(geometries, g)
	}
	c, bytes, err := newCrowd(geometries, -1)
	if err != nil {
		return err
	}
	base := heap()
	p := fleet.NewPlanner()
	began := time.Now()
	sites := map[string]*fleet.Site{}
	for name, doc := range c.docs {
		s, err := p.Read(doc)
		if err != nil {
			return err
		}
		sites[name] = s
	}
	read := time.Since(began)
	var took, stuck []time.Duration
	given, unmet := 0, 0
	for i := range fleetRounds {
		in := c.round(sites, i)
		start := time.Now()
		out := p.Plan(in)
		took = append(took, time.Since(start))
		given, unmet = given+len(out.Given), unmet+len(out.Unmet)
		for j := range in.Pods { // the same pods again: those that were given stay
			in.Pods[j].Given = out.Given[in.Pods[j].UID]
		}
		start = time.Now()
		p.Plan(in)
		stuck = append(stuck, time.Since(start))
	}
	after := heap()
	runtime.KeepAlive(p)
	runtime.KeepAlive(sites)
	full, err := fullCluster(geometries)
	if err != nil {
		return err
	}
	writes, err := c.steady(ctx)
	if err != nil {
		return err
	}
	first := took[0]
	slices.Sort(took)
	slices.Sort(stuck)
	at := func(d []time.Duration, q int) string {
		return d[min(len(d)*q/100, len(d)-1)].Round(100 * time.Microsecond).String()
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	say := func(what, value, bar string) { _, _ = fmt.Fprintf(w, "%s\t%s\t%s\n", what, value, bar) }
	say("planner of a cluster", fmt.Sprintf("%d nodes of up to %d GPUs, %d pods wait", fleetNodes, fleetGPUs, fleetPods), "bar")
	say("reading all reports, once", read.Round(time.Millisecond).String()+fmt.Sprintf(" (%d bytes each)", bytes/fleetNodes), "")
	say("first round", first.Round(time.Millisecond).String(), "1s")
	say("round with new pods, median, p99", at(took, 50)+", "+at(took, 99), "1s")
	say("round with the same pods, median, p99", at(stuck, 50)+", "+at(stuck, 99), "1s")
	say("pods given, without a node", fmt.Sprintf("%d, %d in a round", given/fleetRounds, unmet/fleetRounds), "")
	say("round of a cluster that is full", full, "1s")
	say("memory of the planner (heap)", fmt.Sprintf("%.1f MiB", float64(after-min(base, after))/(1<<20)), "256 MiB")
	say("memory of the process, documents and generator included (RssAnon)", rssAnon(), "")
	say(fmt.Sprintf("steady state, %d pods come and end a second", steadyPods), writes, "")
	_ = w.Flush()
	fmt.Printf("%s: first round %s with reading, p99 %s, bar 1 s\n", proof(read+first < time.Second && took[len(took)*99/100] < time.Second), (read + first).Round(time.Millisecond), at(took, 99))
	fmt.Printf("%s: %.1f MiB for the planner, bar 256 MiB\n", proof(after-min(base, after) < 256<<20), float64(after-min(base, after))/(1<<20))
	return nil
}

func proof(ok bool) string {
	if ok {
		return "PROOF 4.5"
	}
	return "MISS 4.5"
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// rssAnon is this process's private memory.
func rssAnon() string {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(data)) {
		if v, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kib, _ := strconv.ParseFloat(strings.Fields(v)[0], 64)
			return fmt.Sprintf("%.1f MiB", kib/1024)
		}
	}
	return "unknown"
}

// crowd is a generated cluster.
type crowd struct {
	geometries []mig.Geometry
	r          *rand.Rand
	load       float64 // of each node; negative: any
	docs       map[string]*apiserver.Document
	facts      map[string]*apiserver.NodeFacts
}

// newCrowd makes one with a seed that is always the same; bytes are those of all reports.
func newCrowd(geometries []mig.Geometry, load float64) (c *crowd, bytes int, err error) {
	c = &crowd{
		geometries: geometries, r: rand.New(rand.NewPCG(1, 2)), //nolint:gosec // the same cluster each time
		load: load, docs: map[string]*apiserver.Document{}, facts: map[string]*apiserver.NodeFacts{},
	}
	for i := range fleetNodes {
		n, err := c.node(i)
		if err != nil {
			return nil, 0, err
		}
		bytes += n
	}
	return c, bytes, nil
}

// fullCluster measures a round in which most pods find no place, evictions included.
func fullCluster(geometries []mig.Geometry) (string, error) {
	c, _, err := newCrowd(geometries, 1)
	if err != nil {
		return "", err
	}
	p, sites := fleet.NewPlanner(), map[string]*fleet.Site{}
	for name, doc := range c.docs {
		if sites[name], err = p.Read(doc); err != nil {
			return "", err
		}
	}
	var took []time.Duration
	unmet := 0
	for i := range 10 {
		in := c.round(sites, i)
		in.MayEvict = true
		for j := range in.Pods { // whole GPUs and the largest profiles
			in.Pods[j].Requests = map[string]int64{"nvidia.com/gpu": 8}
		}
		start := time.Now()
		unmet += len(p.Plan(in).Unmet)
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	return fmt.Sprintf("median %s, most %s, %d pods without a node", took[5].Round(100*time.Microsecond), took[9].Round(100*time.Microsecond), unmet/10), nil
}

// node makes a node of any geometry and load; bytes are those of its report.
func (c *crowd) node(i int) (bytes int, err error) {
	name := fmt.Sprintf("node-%04d", i)
	g, load := c.geometries[c.r.IntN(len(c.geometries))], c.load
	if load < 0 {
		load = c.r.Float64()
	}
	rep := fleettest.Node(c.r, name, g, fleetGPUs, load)
	data, err := fleet.EncodeReport(rep)
	if err != nil {
		return 0, err
	}
	c.docs[name] = &apiserver.Document{Name: name, Received: time.Now(), Data: data}
	c.facts[name] = &apiserver.NodeFacts{
		Name: name, Ready: true, Labels: map[string]string{"kubernetes.io/hostname": name, "zone": string(rune('a' + i%3))},
		MilliCPU: 96_000, MemoryBytes: 1 << 40, Pods: 110,
	}
	return len(data), nil
}

// pod makes a pod that waits.
func (c *crowd) pod(name string) *apiserver.PendingPod {
	mix := fleettest.Mix(c.geometries[c.r.IntN(len(c.geometries))])
	p := &apiserver.PendingPod{
		UID: types.UID(name), Namespace: "team", Name: name, Created: time.Now(), Priority: int32(c.r.IntN(3)), Unschedulable: true,
		MilliCPU: int64(100 * (1 + c.r.IntN(40))), MemoryBytes: int64(1+c.r.IntN(64)) << 30,
		Requests: map[string]int64{fleettest.Resource(mix[c.r.IntN(len(mix))]): 1},
	}
	if c.r.IntN(4) == 0 {
		p.NodeSelector = map[string]string{"zone": string(rune('a' + c.r.IntN(3)))}
	}
	if c.r.IntN(10) == 0 {
		for name := range p.Requests {
			p.Requests[name] = int64(2 + c.r.IntN(3))
		}
	}
	return p
}

// round is a round with new pods.
func (c *crowd) round(sites map[string]*fleet.Site, i int) (in fleet.Round) {
	for j := range fleetNodes {
		name := fmt.Sprintf("node-%04d", j)
		in.Nodes = append(in.Nodes, fleet.Node{Facts: c.facts[name], Site: sites[name]})
	}
	for j := range fleetPods {
		in.Pods = append(in.Pods, fleet.Pod{PendingPod: c.pod(fmt.Sprintf("pod-%d-%d", i, j))})
	}
	return in
}

// steady runs a leader over the cluster in memory while pods come and end, and counts what it writes.
func (c *crowd) steady(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, steadySeconds*time.Second)
	defer cancel()
	cluster := fleettest.NewCluster()
	for name, n := range c.facts {
		cluster.SetNode(n)
		cluster.SetReport(name, c.docs[name].Data)
	}
	l := fleet.NewLeader(fleet.LeaderConfig{Cluster: &fleettest.Member{Cluster: cluster, Name: "bench"}, Name: "bench"})
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	var waiting []types.UID
	tick := time.NewTicker(time.Second / steadyPods)
	defer tick.Stop()
	for i := 0; ctx.Err() == nil; i++ {
		p := c.pod(fmt.Sprintf("steady-%d", i))
		cluster.SetPod(p)
		waiting = append(waiting, p.UID)
		if len(waiting) > 2*steadyPods { // it waited for two seconds and runs
			cluster.RemovePod(waiting[0])
			waiting = waiting[1:]
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	err := <-done
	_, demands := cluster.Writes()
	// Each change of a demand changes the node's report, and each node has a heartbeat of 52 s on average.
	beats := fleetNodes / 52.5
	return fmt.Sprintf("%.1f demands a second; of reports %.1f heartbeats a second of all nodes, and one for each demand", float64(demands)/steadySeconds, beats), err
}
