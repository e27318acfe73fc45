// What the hub hands to the runtime: one object per context. "The current call" is the hub's matter.
export {};
