// Package sim runs a whole cluster in one process and tries to break it: a log
// in memory, a clock that is turned by hand, control planes with the Step that
// the real loop drives, nodes that obey node/plan with containers that are only
// pretended, and people who apply and delete, all drawn from one seed.
//
// What is drawn is a script of actions and, between them, the order in which
// everybody gets a turn and what becomes of each message. Judges look at every
// event; they share no code with what they judge. In the end all faults are
// healed, and everything has to settle in bounded time and to stay so.
package sim
