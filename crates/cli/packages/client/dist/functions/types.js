/** What a hub's functions take and give, as the page's compiler sees it. */
export {};
