package fakekubelet

// Count is what the Node object says of one extended resource.
type Count struct{ Capacity, Allocatable int64 }

// Node is the Node object at the API server: its extended resources. It outlives the kubelet.
func (k *Kubelet) Node() map[string]Count {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := map[string]Count{}
	for r, c := range k.node {
		out[r] = c
	}
	return out
}

// Allocatable is what the Node object says of a resource; a missing resource counts as 0. See Node to tell the two apart.
func (k *Kubelet) Allocatable(resource string) int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.node[resource].Allocatable
}

// PatchNode writes to the Node object as someone else than the kubelet does.
func (k *Kubelet) PatchNode(counts map[string]Count) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for r, c := range counts {
		k.node[r] = c
	}
	k.changeLocked()
}

// RemoveFromNode takes a resource out of the Node object as someone else than the kubelet does.
func (k *Kubelet) RemoveFromNode(resource string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.node, resource)
	k.changeLocked()
}

// SyncNode has the kubelet update the Node object now instead of at its next period.
func (k *Kubelet) SyncNode() {
	if p := k.current(); p != nil {
		p.syncNode()
	}
}

// syncNode writes the resources that the device manager knows, and 0 for those that it has just forgotten. It leaves all
// others as they are.
func (p *process) syncNode() {
	counts, forgotten := p.devices.capacity()
	for _, r := range forgotten {
		counts[r] = Count{}
	}
	p.k.PatchNode(counts)
}

func (p *process) keepNode() {
	defer p.wg.Done()
	if p.k.opts.StatusPeriod < 0 {
		return
	}
	for {
		select {
		case <-p.k.opts.Clock.After(p.k.opts.StatusPeriod):
			p.syncNode()
		case <-p.ctx.Done():
			return
		}
	}
}

// zeroNode is what a kubelet without a checkpoint does: the node must be a new one.
func (k *Kubelet) zeroNode() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for r := range k.node {
		k.node[r] = Count{}
	}
}
