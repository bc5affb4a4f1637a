// Package memory is a log and wires inside one process, for tests, replay,
// what-if and the simulation. It keeps the contracts of package bus, limits
// included; nothing of it survives the process, so everything counts as durable
// at once.
package memory
