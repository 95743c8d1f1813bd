package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
)

// A plan is the addresses of one cluster, in a /16 of 10.0.0.0/8 that the host does not use.
//
//	10.N.0.0/24   services; .1 is the API server, at the port a pod expects
//	10.N.1.0/24   machines: .100 the control plane, .101 and on the nodes, .254 the host
//	10.N.101.0/24 pods of the first node, and so on
//
// The control plane's network namespace holds the bridge; the host has one link to it.
type plan struct{ second byte }

func (p plan) service() netip.Addr { return netip.AddrFrom4([4]byte{10, p.second, 0, 1}) }
func (p plan) control() netip.Addr { return netip.AddrFrom4([4]byte{10, p.second, 1, 100}) }
func (p plan) host() netip.Addr    { return netip.AddrFrom4([4]byte{10, p.second, 1, 254}) }

// node counts from 1.
func (p plan) node(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, p.second, 1, byte(100 + i)}) }

func (p plan) pods(i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, p.second, byte(100 + i), 0}), 24)
}

// mac is the link address that belongs to addr.
func (p plan) mac(addr netip.Addr) string {
	b := addr.As4()
	return net.HardwareAddr(append([]byte{2, 0}, b[:]...)).String()
}

func (p plan) services() string { return netip.PrefixFrom(p.service(), 24).Masked().String() }

// choosePlan takes the first /16, from one that seed says, that none of the host's addresses is in.
func choosePlan(seed byte) (plan, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return plan{}, err
	}
	for i := range 200 {
		p := plan{second: byte(50 + (int(seed)+i)%200)}
		all := netip.PrefixFrom(p.service(), 16)
		free := true
		for _, a := range addrs {
			prefix, err := netip.ParsePrefix(a.String())
			free = free && (err != nil || !prefix.Overlaps(all))
		}
		if free {
			return p, nil
		}
	}
	return plan{}, errors.New("no free /16 in 10.0.0.0/8")
}

// ip runs ip(8) on the host.
func ip(ctx context.Context, line string) error {
	out, err := exec.CommandContext(ctx, "ip", strings.Fields(line)...).CombinedOutput() //nolint:gosec // our own lines
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", line, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// script runs lines of ip(8) in the machine, each a process, and stops at the first that fails.
func (m *machine) script(ctx context.Context, lines ...string) error {
	for _, line := range lines {
		if _, err := m.run(ctx, append([]string{"ip"}, strings.Fields(line)...)...); err != nil {
			return err
		}
	}
	return nil
}

// connectControl makes the bridge in the control plane's namespace and the host's link to it.
func (c *Cluster) connectControl(ctx context.Context) error {
	err := c.control.script(ctx,
		"link set lo up",
		// An address of its own: otherwise it is that of a port, and changes as ports come and go.
		"link add br0 address "+c.plan.mac(c.plan.control())+" type bridge",
		fmt.Sprintf("addr add %s/24 dev br0", c.plan.control()),
		fmt.Sprintf("addr add %s/32 dev br0", c.plan.service()),
		"link set br0 up")
	if err != nil {
		return err
	}
	if err := ip(ctx, fmt.Sprintf("link add %s type veth peer name host netns %d", c.link(), c.control.pid)); err != nil {
		return err
	}
	if err := c.control.script(ctx, "link set host master br0 up"); err != nil {
		return err
	}
	for _, line := range []string{
		fmt.Sprintf("addr add %s/24 dev %s", c.plan.host(), c.link()),
		fmt.Sprintf("link set %s up", c.link()),
		fmt.Sprintf("route add %s via %s", c.plan.services(), c.plan.control()),
	} {
		if err := ip(ctx, line); err != nil {
			return err
		}
	}
	return nil
}

// connectNode gives a node its link to the bridge, and everyone a route to its pods.
func (c *Cluster) connectNode(ctx context.Context, n *Node) error {
	port := "node" + strconv.Itoa(n.index)
	// After a reboot the old one may still be there: it goes with its namespace, in its own time.
	_, _ = c.control.run(ctx, "ip", "link", "del", port)
	err := ip(ctx, fmt.Sprintf("link add %s-%d type veth peer name %s netns %d", c.link(), n.index, port, c.control.pid))
	if err != nil {
		return err
	}
	if err := ip(ctx, fmt.Sprintf("link set %s-%d name eth0 netns %d", c.link(), n.index, n.pid)); err != nil {
		return err
	}
	if err := c.control.script(ctx, "link set "+port+" master br0 up"); err != nil {
		return err
	}
	lines := []string{
		"link set lo up",
		"link set eth0 address " + c.plan.mac(n.Addr), // the same after a reboot
		fmt.Sprintf("addr add %s/24 dev eth0", n.Addr),
		"link set eth0 up",
		fmt.Sprintf("route add default via %s", c.plan.control()),
	}
	for _, other := range c.Nodes {
		if other != n {
			lines = append(lines, fmt.Sprintf("route add %s via %s", c.plan.pods(other.index), other.Addr))
		}
	}
	if err := n.script(ctx, lines...); err != nil {
		return err
	}
	if _, err := n.run(ctx, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"); err != nil {
		return err
	}
	route := fmt.Sprintf("route replace %s via %s", c.plan.pods(n.index), n.Addr)
	if err := c.control.script(ctx, route); err != nil {
		return err
	}
	return ip(ctx, route)
}
