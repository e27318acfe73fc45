/** What pulling and pushing need. */
import type { Report } from "./apply.ts";
import type { Http } from "./http.ts";
import type { Store } from "./store.ts";
export type SyncContext = {
    readonly store: Store;
    readonly http: Http;
    readonly app: string;
    /** Something was stored: the application hears of it, and counts have changed. */
    readonly report: (report: Report) => Promise<void>;
};
