/** `ferry dev` of a project, for all dev servers of this process. */
/** What `.ferry/dev.json` says while `ferry dev` serves. */
export type Serving = {
    url: string;
    key: string;
    pid?: number;
};
export type DevHubOptions = {
    binary: string;
    project: string;
    args: string[];
};
/** A dev server that uses it. */
export type User = {
    /** It is at another address, or has another key. */
    onMoved: () => void;
    /** Something that only a person can mend. */
    onTrouble: (message: string) => void;
};
export declare class DevHub {
    #private;
    private readonly options;
    private constructor();
    /** That of the project. */
    static of(options: DevHubOptions): DevHub;
    /** Uses it until what is returned is called; with the last user it ends. */
    use(user: User): () => void;
    /** Where it serves; it is started if nobody did. */
    serving(): Promise<Serving>;
}
