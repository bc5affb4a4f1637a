package main

// timeVerbs are the verbs that look along the log, back and ahead.
type timeVerbs struct {
	Blame    blameCmd    `cmd:"" group:"Time" help:"Show which event last set each field of an object."`
	Restarts restartsCmd `cmd:"" group:"Time" help:"List every run of a pod's containers, also after the pod is gone."`
	Undo     undoCmd     `cmd:"" group:"Time" help:"Take back a change that a person made."`
	Plan     planCmd     `cmd:"" group:"Time" help:"Say what manifests would change, and where pods would land."`
	Replay   replayCmd   `cmd:"" group:"Time" help:"Play a stretch of the log again, or decide again what it says was decided."`
	Whatif   whatifCmd   `cmd:"" group:"Time" help:"Say what would become of the pods if nodes came or went, or workloads grew."`
}
