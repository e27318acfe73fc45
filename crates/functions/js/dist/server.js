export{action,createMiddleware,getJwtSigner,internal,mutation,query,verifyJwt}from"ferry:core";
