package apiserver

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

// pendingPod takes from a pod without a node what placing it needs.
func pendingPod(p *corev1.Pod) *PendingPod {
	all := requests(&p.Spec)
	out := &PendingPod{
		UID: p.UID, Namespace: p.Namespace, Name: p.Name, Created: p.CreationTimestamp.Time,
		Priority: ptr.Deref(p.Spec.Priority, 0),
		Gated:    len(p.Spec.SchedulingGates) > 0, Deleting: p.DeletionTimestamp != nil,
		Scheduler: p.Spec.SchedulerName, Nominated: p.Status.NominatedNodeName,
		NodeSelector: p.Spec.NodeSelector, Tolerations: p.Spec.Tolerations,
		MilliCPU: all.cpu, MemoryBytes: all.memory, Requests: all.extended,
	}
	if p.Spec.Affinity != nil {
		out.NodeAffinity = p.Spec.Affinity.NodeAffinity
	}
	for i := range p.Status.Conditions {
		c := &p.Status.Conditions[i]
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
			out.Unschedulable, out.Message = true, c.Message
		}
	}
	return out
}

// amounts are what somebody asks for or has.
type amounts struct {
	cpu, memory, pods int64 // cpu in thousandths
	extended          map[string]int64
}

func amountsOf(list corev1.ResourceList, name func(string) string) amounts {
	var a amounts
	for resourceName, q := range list {
		switch resourceName {
		case corev1.ResourceCPU:
			a.cpu = q.MilliValue()
		case corev1.ResourceMemory:
			a.memory = q.Value()
		case corev1.ResourcePods:
			a.pods = q.Value()
		default:
			if extended(string(resourceName)) {
				a.put(name(string(resourceName)), q.Value())
			}
		}
	}
	return a
}

// put leaves out what is not asked for.
func (a *amounts) put(name string, n int64) {
	if n == 0 {
		return
	}
	if a.extended == nil {
		a.extended = map[string]int64{}
	}
	a.extended[name] = n
}

// plus changes neither.
func (a amounts) plus(b amounts) amounts {
	return a.with(b, func(x, y int64) int64 { return x + y })
}

// most is the greater of each.
func (a amounts) most(b amounts) amounts {
	return a.with(b, func(x, y int64) int64 { return max(x, y) })
}

func (a amounts) with(b amounts, f func(x, y int64) int64) amounts {
	out := amounts{cpu: f(a.cpu, b.cpu), memory: f(a.memory, b.memory), pods: f(a.pods, b.pods)}
	for name, n := range a.extended {
		out.put(name, f(n, b.extended[name]))
	}
	for name, n := range b.extended {
		if _, both := a.extended[name]; !both {
			out.put(name, f(0, n))
		}
	}
	return out
}

// requests are what a pod asks for, as the scheduler counts (k8s.io/component-helpers, resource.PodRequests, 1.37): its containers
// and sidecars together, or more if an init container with the sidecars that start before it asks for more; what is said for the pod
// as a whole stands in for that sum; and the overhead of its runtime class.
func requests(spec *corev1.PodSpec) amounts {
	asIs := func(name string) string { return name }
	var run, before, start amounts // before: the sidecars so far
	for i := range spec.Containers {
		run = run.plus(amountsOf(spec.Containers[i].Resources.Requests, asIs))
	}
	for i := range spec.InitContainers {
		c := &spec.InitContainers[i]
		asks := amountsOf(c.Resources.Requests, asIs)
		if ptr.Deref(c.RestartPolicy, "") == corev1.ContainerRestartPolicyAlways {
			before = before.plus(asks)
			start = start.most(before)
		} else {
			start = start.most(before.plus(asks))
		}
	}
	all := run.plus(before).most(start)
	if spec.Resources != nil {
		of := spec.Resources.Requests
		if q, ok := of[corev1.ResourceCPU]; ok {
			all.cpu = q.MilliValue()
		}
		if q, ok := of[corev1.ResourceMemory]; ok {
			all.memory = q.Value()
		}
	}
	return all.plus(amountsOf(spec.Overhead, asIs))
}

// nodeFacts takes from a Node what placing pods needs.
func nodeFacts(n *corev1.Node, one interner) *NodeFacts {
	has := amountsOf(n.Status.Allocatable, one.string)
	out := &NodeFacts{
		Name: n.Name, Unschedulable: n.Spec.Unschedulable, Taints: n.Spec.Taints,
		Labels:   make(map[string]string, len(n.Labels)),
		MilliCPU: has.cpu, MemoryBytes: has.memory, Pods: has.pods, Allocatable: has.extended,
	}
	for k, v := range n.Labels {
		out.Labels[one.string(k)] = v
	}
	for i := range n.Status.Conditions {
		if c := &n.Status.Conditions[i]; c.Type == corev1.NodeReady {
			out.Ready = c.Status == corev1.ConditionTrue
		}
	}
	return out
}

// interner keeps one of each of the names that thousands of Nodes share.
type interner map[string]string

func (i interner) string(s string) string {
	if one, ok := i[s]; ok {
		return one
	}
	i[s] = s
	return s
}
