/** What the hub answers; docs/records-wire.md says more. */
export const isResync = (answer) => "resync" in answer;
