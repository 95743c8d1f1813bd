// Package fleet serves demand across nodes: each agent writes a report of its node, one agent, elected by a Lease, gives the pods that
// wait to nodes, and writes a demand for each. It owns the form of both documents. It never binds or evicts a pod unless it was told
// to, and without it every node goes on with what it has.
package fleet
