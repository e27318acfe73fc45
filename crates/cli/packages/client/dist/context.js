/** What pulling and pushing need. */
export {};
